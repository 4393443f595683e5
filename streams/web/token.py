"""The token that opens the web port."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable

from aiohttp import web

from streams.config.settings import Settings

#: Liveness must be seen by an orchestrator that knows no secrets.
OPEN_PATHS = frozenset({"/health/live", "/health/live/"})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def token_middleware(
    settings: Settings,
) -> Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]:
    """Lets requests with the token of the settings through, or all where none is set."""
    secret = settings.api_token
    expected = f"Bearer {secret.get_secret_value()}".encode() if secret else None

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode(errors="surrogateescape")
        # compare_digest takes the same time wherever the two differ.
        if expected is None or request.path in OPEN_PATHS or hmac.compare_digest(given, expected):
            return await handler(request)
        message = "this page wants the header Authorization: Bearer <API_TOKEN>"
        return web.json_response(
            # The HTTP API's shape of a failure, and that of the other pages.
            {"success": False, "message": message, "error": message},
            status=401,
            headers={"WWW-Authenticate": "Bearer"},
        )

    return check

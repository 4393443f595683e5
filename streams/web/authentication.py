"""The bearer token that the web port asks for."""

from __future__ import annotations

import hmac
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from streams.config.web_settings import WebSettings
from streams.web.answers import json_answer

#: An orchestrator probes liveness without knowing the token.
OPEN_PATHS = frozenset({"/health/live", "/health/live/"})


def token_middleware(settings: WebSettings) -> Middleware:
    """Return a middleware that answers 401 to requests without ``API_TOKEN``, where one is set."""
    secret = settings.api_token
    expected = f"Bearer {secret.get_secret_value()}".encode() if secret else None

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode(errors="surrogateescape")
        # compare_digest takes the same time wherever the two differ.
        if expected is None or request.path in OPEN_PATHS or hmac.compare_digest(given, expected):
            return await handler(request)
        message = "this page needs the header Authorization: Bearer <API_TOKEN>"
        # Both shapes of a failure, that of /api/ and that of the other pages, in one body.
        body = {"success": False, "message": message, "error": message}
        response = json_answer(body, HTTPStatus.UNAUTHORIZED)
        response.headers["WWW-Authenticate"] = "Bearer"
        return response

    return check

"""What the index says when a page asks it in vain."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from streams.vector_errors import IndexRejected, VectorIndexError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def index_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """400 for a question that the index refuses, 503 while it cannot answer."""
    try:
        return await handler(request)
    except IndexRejected as error:
        return web.json_response({"error": str(error)}, status=400)
    except VectorIndexError as error:
        return web.json_response({"error": str(error)}, status=503)

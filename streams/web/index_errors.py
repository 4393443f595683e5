"""What the pages about the index say to a question that they do not answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from aiohttp import web

from schemas.errors import InvalidEvent
from streams.errors import Busy
from streams.index.errors import IndexRejected, VectorIndexError
from streams.web.requests import Refusal

INDEX = "/index"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def index_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """400 for a question that is wrong or that the index refuses, 503 while it cannot answer."""
    if not request.path.startswith(INDEX):
        return await handler(request)
    try:
        return await handler(request)
    except (InvalidEvent, IndexRejected) as error:
        return _said(error, HTTPStatus.BAD_REQUEST)
    except Refusal as refusal:
        return _said(refusal, refusal.status)
    except (Busy, VectorIndexError) as error:
        return _said(error, HTTPStatus.SERVICE_UNAVAILABLE)


def _said(error: Exception, status: HTTPStatus) -> web.Response:
    return web.json_response({"error": str(error)}, status=status)

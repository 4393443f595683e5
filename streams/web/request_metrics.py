"""A middleware that counts and times the requests to the HTTP API."""

from __future__ import annotations

import time
from collections.abc import Callable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from streams.telemetry.http_metrics import HttpMetrics
from streams.web.failures import API

#: Older paths of pages, by the page's own name.
ALIASES = {"attractiveness/score": "score"}


def page_of(path: str) -> str:
    """Return the name under which the page at ``path`` is counted."""
    name = path.removeprefix(API)
    return ALIASES.get(name, name)


def counting_middleware(metrics: Callable[[], HttpMetrics]) -> Middleware:
    """Return an outermost middleware that counts and times every answer below ``/api/``.

    A request whose client disconnects before the answer is not counted.
    """

    @web.middleware
    async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith(API):
            return await handler(request)
        started = time.perf_counter()
        response = await handler(request)
        seconds = time.perf_counter() - started
        metrics().answered(page_of(request.path), response.status, seconds)
        return response

    return count

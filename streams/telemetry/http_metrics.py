"""Requests to the HTTP API, counted and timed."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Literal, get_args

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Histogram

from streams.web.requests import API

Page = Literal[
    "detect-face", "extract-embedding", "score", "health", "ml-status", "openapi.json", "other"
]
Outcome = Literal["success", "rejected", "unavailable", "failure"]

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

#: Further names of pages.
OLDER_NAMES = {"attractiveness/score": "score"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Middleware = Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]


class HttpMetrics:
    """What the pages below /api/ have answered, and how soon.

    Pages and outcomes are those above and no others: whoever asks for made-up pages makes no
    series.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        requests = Counter(
            "facestream_http_requests",
            "Requests to the HTTP API that were answered.",
            ["page", "outcome"],
            registry=registry,
        )
        durations = Histogram(
            "facestream_http_request_duration_seconds",
            "Time from a request's head to its answer.",
            ["page"],
            buckets=BUCKETS,
            registry=registry,
        )
        self._requests = {
            (page, outcome): requests.labels(page, outcome)
            for page in get_args(Page)
            for outcome in get_args(Outcome)
        }
        self._durations = {page: durations.labels(page) for page in get_args(Page)}

    def answered(self, path: str, status: int, seconds: float) -> None:
        """A request to ``path`` has its answer."""
        name = path.removeprefix(API)
        name = OLDER_NAMES.get(name, name)
        page = name if name in self._durations else "other"
        self._requests[page, outcome_of_status(status)].inc()
        self._durations[page].observe(seconds)


def outcome_of_status(status: int) -> Outcome:
    """Rejected is the caller's doing; unavailable is worth another attempt; failure is ours."""
    if status < HTTPStatus.BAD_REQUEST:
        return "success"
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return "rejected"
    return "unavailable" if status == HTTPStatus.SERVICE_UNAVAILABLE else "failure"


def counting_middleware(metrics: Callable[[], HttpMetrics]) -> Middleware:
    """Counts every answer below /api/; goes around the other middlewares.

    A client that hangs up before its answer is not counted: it got none.
    """

    @web.middleware
    async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith(API):
            return await handler(request)
        started = time.perf_counter()
        response = await handler(request)
        metrics().answered(request.path, response.status, time.perf_counter() - started)
        return response

    return count

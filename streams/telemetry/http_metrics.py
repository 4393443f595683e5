"""Counters and durations of the requests to the HTTP API."""

from __future__ import annotations

from http import HTTPStatus
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Histogram

Page = Literal[
    "detect-face", "extract-embedding", "score", "health", "ml-status", "openapi.json", "other"
]
Outcome = Literal["success", "rejected", "unavailable", "failure"]

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class HttpMetrics:
    """Counts and times the answers of the pages below ``/api/``.

    Every page that is not in ``Page`` counts as "other", so unknown paths add no series.
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

    def answered(self, page: str, status: int, seconds: float) -> None:
        """Count an answer of ``page`` with its HTTP status and its duration."""
        page = page if page in self._durations else "other"
        self._requests[page, outcome_of_status(status)].inc()
        self._durations[page].observe(seconds)


def outcome_of_status(status: int) -> Outcome:
    """Classify a status. Rejected: the caller's error; unavailable: a retry may succeed."""
    if status < HTTPStatus.BAD_REQUEST:
        return "success"
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return "rejected"
    return "unavailable" if status == HTTPStatus.SERVICE_UNAVAILABLE else "failure"

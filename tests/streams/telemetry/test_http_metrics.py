"""Metrics of the HTTP API: outcomes and page names."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from streams.telemetry.http_metrics import HttpMetrics, Outcome, outcome_of_status
from tests.metrics_page import series_of


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "success"),
        (202, "success"),
        (400, "rejected"),
        (401, "rejected"),
        (422, "rejected"),
        (500, "failure"),
        (503, "unavailable"),
    ],
)
def test_the_outcome_follows_from_the_status(status: int, outcome: Outcome) -> None:
    """4xx is an error of the caller, 500 of the worker; 503 invites a retry."""
    assert outcome == outcome_of_status(status)


def test_unknown_pages_share_one_series() -> None:
    """A scanner that guesses paths adds no series."""
    registry = CollectorRegistry()
    metrics = HttpMetrics(registry)
    before = len(series_of(registry.collect()))
    for page in ("score", "score", "other", "../etc/passwd"):
        metrics.answered(page, 200, 0.5)
    series = series_of(registry.collect())
    assert before == len(series)
    assert 2 == series["facestream_http_requests_total", "score", "success"]
    assert 2 == series["facestream_http_requests_total", "other", "success"]
    assert 1 == series["facestream_http_request_duration_seconds_sum", "score"]

"""Which answers are whose doing."""

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
def test_a_status_tells_whose_doing_it_was(status: int, outcome: Outcome) -> None:
    """503 is nobody's fault for long, 500 is ours."""
    assert outcome == outcome_of_status(status)


def test_pages_have_their_names_and_others_have_none() -> None:
    """The older name of a page is that page; a scanner that guesses pages makes no series."""
    registry = CollectorRegistry()
    metrics = HttpMetrics(registry)
    before = len(series_of(registry.collect()))
    for path in ("/api/score", "/api/attractiveness/score", "/api/other", "/api/../etc/passwd"):
        metrics.answered(path, 200, 0.5)
    series = series_of(registry.collect())
    assert before == len(series)
    assert 2 == series["facestream_http_requests_total", "score", "success"]
    assert 2 == series["facestream_http_requests_total", "other", "success"]
    assert 1 == series["facestream_http_request_duration_seconds_sum", "score"]

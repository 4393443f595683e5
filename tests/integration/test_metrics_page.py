"""The metrics page of a real worker after real events and requests."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from streams.local.worker_process import WorkerProcess
from tests.integration.http_client import PORTRAIT, call, unfinished_requests
from tests.integration.stack import Stack, answers_for, image_event, wait_until
from tests.metrics_page import Series, metrics_of, series_of
from tools.pictures import portrait_bytes

TOKEN = "0123456789abcdef-token"


def openmetrics(worker: WorkerProcess) -> Series:
    """Request the page as Prometheus does."""
    request = urllib.request.Request(
        f"{worker.url}/metrics",
        headers={
            "Accept": "application/openmetrics-text; version=1.0.0",
            "Authorization": f"Bearer {TOKEN}",
        },
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        page = answer.read().decode()
    return series_of(text_string_to_metric_families(page))  # type: ignore[no-untyped-call]


async def test_the_page_counts_and_times_events(stack: Stack) -> None:
    """Three events, one of them without a picture, are counted, timed and indexed."""
    with stack.worker(API_TOKEN=TOKEN, STALLED_AFTER_S="3") as worker:
        events = [
            image_event("anna", portrait_bytes()),
            image_event("ben", portrait_bytes("eileen-collins")),
            image_event("cleo", b"no picture"),
        ]
        async with stack.submitter() as submitter:
            for event in events:
                await submitter.submit(event)
        async with stack.reader(stack.topics.scored_face) as reader:
            await answers_for(reader, {event.event_id for event in events})
        wait_until(
            lambda: openmetrics(worker)["facestream_operations_total", "index", "success"] == 2,
            "both faces are indexed",
        )
        series = openmetrics(worker)
        assert 2 == series["facestream_operations_total", "real_ml", "success"]
        assert 1 == series["facestream_operations_total", "real_ml", "rejected"]
        assert 1 == series["facestream_operations_total", "simulated", "success"]
        assert 1 == series["facestream_fallbacks_total", "unreadable_image"]
        for stage, times in {
            "queued": 3,
            "fetch": 0,
            "decode": 2,
            "detect": 2,
            "align": 2,
            "embed": 2,
            "publish": 3,
            "total": 3,
        }.items():
            assert times == series["facestream_stage_duration_seconds_count", stage], stage
        whole = series["facestream_stage_duration_seconds_sum", "total"]
        assert series["facestream_stage_duration_seconds_sum", "embed"] < whole < 60
        assert series["facestream_index_write_duration_seconds_count",] >= 1
        assert series["facestream_rebalances_total",] >= 1
        assert 12 == series["facestream_assigned_partitions",]
        assert 1 == series["facestream_models_ready",] == series["facestream_index_open",]
        assert series["facestream_event_loop_lag_seconds_count",] > 0
        names = {key[0]: key[1:] for key in series}
        assert {"yunet", "sface", "128"} <= set(names["facestream_model_info"])
        wait_until(
            lambda: (
                openmetrics(worker)["facestream_broker_reachable",] == 1
                and all(
                    openmetrics(worker).get(("facestream_consumer_lag_events", topic)) == 0
                    for topic in stack.topics.all()
                )
            ),
            "the lag is 0",
        )
        for topic in stack.topics.all():
            assert 0 == openmetrics(worker)["facestream_in_flight_events", topic]

        with pytest.raises(urllib.error.HTTPError, match="401"):
            metrics_of(worker)


async def test_requests_to_the_http_api_are_counted_and_timed(stack: Stack) -> None:
    """Series have page and outcome, and an unknown page adds no series of its own."""
    with stack.worker(INFERENCE_THREADS="1", ML_SERVICE_TIMEOUT="1500") as worker:
        picture = {"image": PORTRAIT}

        def count(page: str, outcome: str) -> float:
            return metrics_of(worker)["facestream_http_requests_total", outcome, page]

        assert 0 == count("detect-face", "success") == count("score", "unavailable")
        assert 200 == call(worker.url + "/api/detect-face", picture).status
        assert 400 == call(worker.url + "/api/detect-face", {}).status
        scored = call(worker.url + "/api/attractiveness/score", {**picture, "userId": "ada"}).status
        assert scored in (200, 202)
        assert 404 == call(worker.url + "/api/made-up").status
        with unfinished_requests(worker):
            wait_until(
                lambda: call(worker.url + "/api/detect-face", picture).status == 503,
                "the worker is full",
            )
        assert 1 == count("detect-face", "success")
        assert 1 <= count("detect-face", "rejected")
        assert 1 <= count("detect-face", "unavailable")
        assert 1 == count("score", "success")
        assert 1 == count("other", "rejected")
        series = metrics_of(worker)
        assert 0 < series["facestream_http_request_duration_seconds_sum", "score"] < 30
        assert not any("made-up" in label for key in series for label in key)

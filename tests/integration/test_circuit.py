"""The circuit, the retries and the timeouts of a real worker whose models fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.fallback import FallbackReason
from schemas.image_submitted import ImageSubmitted
from streams.inference.circuit import MINIMUM
from tests.failing_app import MODELS_FAIL
from tests.integration.fallbacks import answered, assert_fallbacks, dead_letter_reasons, logged
from tests.integration.http_client import call
from tests.integration.stack import Stack, first_record, image_event, running_stack, wait_until
from tests.metrics_page import metrics_of
from tools.pictures import crowd_bytes, portrait_bytes

PROBE_FAILED = "the probe failed; the circuit stays open"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Start a broker for each test, because the tests count records."""
    with running_stack(tmp_path) as running:
        yield running


def enough_events_to_open_the_circuit() -> list[ImageSubmitted]:
    """When the models fail, each event is at least one failed attempt."""
    return [image_event(f"user-{number}", portrait_bytes()) for number in range(MINIMUM)]


async def test_the_circuit_opens_when_the_models_fail_and_closes_when_they_recover(
    stack: Stack,
) -> None:
    """Failed attempts are retried; an open circuit skips inference until a probe succeeds."""
    models_fail = stack.folder / MODELS_FAIL
    with stack.worker(
        app="tests.failing_app",
        ML_BACKOFF_MS="20",
        CIRCUIT_PROBE_S="0.2",
    ) as worker:
        before = image_event("anna", portrait_bytes())
        assert "real" == (await answered(stack, before))[before.event_id].provenance

        models_fail.touch()
        failing = await answered(stack, *enough_events_to_open_the_circuit())
        for face in failing.values():
            assert face.fallback_reason in (
                FallbackReason.INFERENCE_FAILED,
                FallbackReason.CIRCUIT_OPEN,
            )
        wait_until(
            lambda: metrics_of(worker)["facestream_circuit_state", "closed"] == 0,
            "the circuit is open",
        )
        during = image_event("dora", portrait_bytes())
        face = (await answered(stack, during))[during.event_id]
        assert FallbackReason.CIRCUIT_OPEN == face.fallback_reason
        async with stack.reader(stack.topics.simulated_fallback) as reader:
            letter = await first_record(reader, lambda record: record.key == b"dora")
        headers = dict(letter.headers)
        assert (b"circuit_open", b"0") == (headers["fallback_reason"], headers["fallback_attempts"])
        wait_until(lambda: bool(logged(worker, PROBE_FAILED)), "a probe failed")

        models_fail.unlink()
        wait_until(
            lambda: metrics_of(worker)["facestream_circuit_state", "closed"] == 1,
            "the circuit is closed",
        )
        after = image_event("emil", portrait_bytes())
        assert "real" == (await answered(stack, after))[after.event_id].provenance

        metrics = metrics_of(worker)
        reasons = await dead_letter_reasons(stack)
        for reason in FallbackReason:
            assert (
                reasons.count(reason.value) == metrics["facestream_fallbacks_total", reason.value]
            )
        assert metrics["facestream_retries_total", "real_ml"] >= 2
        assert metrics["facestream_circuit_changes_total", "open"] >= 1
        assert 1 == len(logged(worker, "circuit closed: events are scored for real again"))


async def test_an_open_circuit_shows_in_ml_status(stack: Stack) -> None:
    """The status is unhealthy although each model still answers its own health check."""
    models_fail = stack.folder / MODELS_FAIL
    with stack.worker(
        app="tests.failing_app",
        ML_ATTEMPTS="1",
        CIRCUIT_PROBE_S="0.2",
    ) as worker:

        def status() -> Any:
            answer = call(worker.url + "/api/ml-status")
            assert (200, True) == (answer.status, answer.body["success"])
            return answer.body["data"]

        healthy = {
            "health": {
                "status": "healthy",
                "details": {"faceDetection": True, "faceEmbedding": True, "overall": True},
            },
            "recommendations": {"shouldUseRealML": True, "fallbackMode": False},
        }
        assert healthy == status()

        models_fail.touch()
        await answered(stack, *enough_events_to_open_the_circuit())
        wait_until(
            lambda: metrics_of(worker)["facestream_circuit_state", "closed"] == 0,
            "the circuit is open",
        )
        for _ in range(20):  # the circuit alternates between open and half-open
            assert status() == {
                "health": {
                    "status": "unhealthy",
                    "details": {"faceDetection": True, "faceEmbedding": True, "overall": False},
                },
                "recommendations": {"shouldUseRealML": False, "fallbackMode": True},
            }
        assert call(worker.url + "/api/health").status == 200, "both models still answer"

        models_fail.unlink()
        wait_until(lambda: bool(status() == healthy), "the circuit is closed again")


async def test_pictures_without_a_face_do_not_open_the_circuit(stack: Stack) -> None:
    """They are no failures of the models."""
    with stack.worker(SIMULATED_ML_THRESHOLD="1") as worker:
        unreadable = [image_event("anna", b"no picture %d" % n) for n in range(MINIMUM)]
        await answered(stack, *unreadable)
        event = image_event("ben", portrait_bytes())
        assert "real" == (await answered(stack, event))[event.event_id].provenance
        await assert_fallbacks(stack, worker, FallbackReason.UNREADABLE_IMAGE, MINIMUM)
        assert 0 == metrics_of(worker)["facestream_circuit_changes_total", "open"]


async def test_a_timeout_is_counted_and_retried(stack: Stack) -> None:
    """The deadline is too short for any picture."""
    with stack.worker(ML_SERVICE_TIMEOUT="50", ML_BACKOFF_MS="10", ML_ATTEMPTS="2") as worker:
        crowd = image_event("anna", crowd_bytes(), max_faces=64)
        face = (await answered(stack, crowd))[crowd.event_id]
        assert FallbackReason.INFERENCE_TIMEOUT == face.fallback_reason
        await assert_fallbacks(stack, worker, FallbackReason.INFERENCE_TIMEOUT, 1)
        metrics = metrics_of(worker)
        assert 2 == metrics["facestream_timeouts_total", "real_ml"]
        assert 1 == metrics["facestream_retries_total", "real_ml"]

"""Who is scored for real, who is not, and why: each switch with a real worker.

Every fallback must show in the dead letter's headers, in the log, and in a counter.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from PIL import Image

from schemas.codec import decode_shadow_scored
from schemas.fallback import FallbackReason
from schemas.image_submitted import ImageSubmitted
from schemas.scored_face import ScoredFace
from streams.local.worker_process import WorkerProcess
from streams.scoring.rollout import is_rolled_out
from tests.failing_app import MODELS_FAIL
from tests.integration.http_client import call
from tests.integration.stack import (
    DEADLINE_S,
    Stack,
    answers_for,
    first_record,
    image_event,
    running_stack,
    wait_until,
)
from tests.metrics_page import metrics_of
from tools.pictures import crowd_bytes, encoded, portrait_bytes

PROBE_FAILED = "the probe failed; the circuit stays open"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Start a broker for each test, because the tests count records."""
    with running_stack(tmp_path) as running:
        yield running


async def answered(stack: Stack, *events: ImageSubmitted) -> dict[UUID, ScoredFace]:
    """Submit the events and return the first face of each answer."""
    async with stack.submitter() as submitter:
        for event in events:
            await submitter.submit(event, media_type="image/jpeg")
    async with stack.reader(stack.topics.scored_face) as reader:
        answers = await answers_for(reader, {event.event_id for event in events})
    return {event_id: faces[0] for event_id, faces in answers.items()}


async def dead_letter_reasons(stack: Stack) -> list[str]:
    """Return the reasons of all dead letters so far."""
    async with stack.reader(stack.topics.simulated_fallback) as reader:
        return [
            dict(record.headers)["fallback_reason"].decode()
            async for record in reader.records(follow=False)
        ]


def logged(worker: WorkerProcess, event: str) -> list[dict[str, object]]:
    """Return the log lines of one event."""
    assert worker.log_file is not None
    lines = [line for line in worker.log_file.read_text().splitlines() if line.startswith("{")]
    return [line for line in map(json.loads, lines) if line.get("event") == event]


async def assert_fallbacks(
    stack: Stack, worker: WorkerProcess, reason: FallbackReason, times: int
) -> None:
    """Check the number of dead letters, log lines and counted fallbacks."""
    assert [reason.value] * times == await dead_letter_reasons(stack)
    assert [reason.value] * times == [line["reason"] for line in logged(worker, "event falls back")]
    assert times == metrics_of(worker)["facestream_fallbacks_total", reason.value]


async def test_with_real_ml_off_all_answers_are_simulated(stack: Stack) -> None:
    """An event that asks for the real models is no exception."""
    with stack.worker(USE_REAL_ML="false", LOG_LEVEL="debug") as worker:
        events = [
            image_event("anna", portrait_bytes()),
            image_event("ben", portrait_bytes(), use_real_ml=True),
        ]
        answers = await answered(stack, *events)
        assert {face.provenance for face in answers.values()} == {"simulated"}
        assert {face.fallback_reason for face in answers.values()} == {
            FallbackReason.REAL_ML_DISABLED
        }
        await assert_fallbacks(stack, worker, FallbackReason.REAL_ML_DISABLED, 2)
        assert 0 == metrics_of(worker)["facestream_operations_total", "real_ml", "success"]


async def test_an_event_can_ask_for_simulated_scores(stack: Stack) -> None:
    """Other events of the same user are scored by the models."""
    with stack.worker(LOG_LEVEL="debug") as worker:
        asks = image_event("anna", portrait_bytes(), use_real_ml=False)
        other = image_event("anna", portrait_bytes())
        answers = await answered(stack, asks, other)
        assert "simulated" == answers[asks.event_id].provenance
        assert "real" == answers[other.event_id].provenance
        await assert_fallbacks(stack, worker, FallbackReason.REAL_ML_DISABLED, 1)


async def test_without_simulated_answers_the_dead_letters_remain(stack: Stack) -> None:
    """With ``FALLBACK_TO_SIMULATED=false`` no simulated answer is published."""
    with stack.worker(FALLBACK_TO_SIMULATED="false") as worker:
        refused = image_event("anna", portrait_bytes(), use_real_ml=False)
        broken = image_event("ben", b"no picture")
        real = image_event("cleo", portrait_bytes())
        async with stack.submitter() as submitter:
            await submitter.submit(refused)
            await submitter.submit(broken)
        answers = await answered(stack, real)
        assert "real" == answers[real.event_id].provenance
        wait_until(
            lambda: metrics_of(worker)["facestream_operations_total", "simulated", "rejected"] == 2,
            "both dead letters are processed",
        )
        assert ["real_ml_disabled", "unreadable_image"] == sorted(await dead_letter_reasons(stack))
        async with stack.reader(stack.topics.scored_face) as reader:
            faces = [face async for face in reader.scored_faces(follow=False)]
        assert [real.event_id] == [face.event_id for face in faces]


@pytest.mark.parametrize("percent", ["0", "50", "100"])
async def test_the_rollout_decides_by_user(stack: Stack, percent: str) -> None:
    """At 50 % a user always gets the same kind of answer."""
    users = [f"user-{number}" for number in range(8)]
    with stack.worker(REAL_ML_ROLLOUT_PERCENT=percent, LOG_LEVEL="debug") as worker:
        events = [image_event(user, portrait_bytes()) for user in users + users]
        answers = await answered(stack, *events)
        real = {event.user_id for event in events if answers[event.event_id].provenance == "real"}
        simulated = set(users) - real
        assert {user for user in users if is_rolled_out(user, float(percent))} == real
        for event in events:
            expected = "real" if event.user_id in real else "simulated"
            assert expected == answers[event.event_id].provenance
        await assert_fallbacks(
            stack, worker, FallbackReason.ROLLED_OUT_TO_SIMULATED, 2 * len(simulated)
        )
        if percent == "50":
            assert real
            assert simulated


async def test_an_event_can_ask_for_the_real_models_at_rollout_0(stack: Stack) -> None:
    """Testers try the models before the rollout starts."""
    with stack.worker(REAL_ML_ROLLOUT_PERCENT="0"):
        event = image_event("tester", portrait_bytes(), use_real_ml=True)
        assert "real" == (await answered(stack, event))[event.event_id].provenance


async def test_a_shadow_result_goes_only_to_the_shadow_topic(stack: Stack) -> None:
    """The user gets simulated scores; the real result, or its failure, is published apart."""
    no_face = encoded(Image.new("RGB", (200, 200)), "JPEG")
    with stack.worker(REAL_ML_ROLLOUT_PERCENT="0", SHADOW_ML="true") as worker:
        good = image_event("anna", portrait_bytes())
        bad = image_event("ben", no_face)
        declined = image_event("cleo", portrait_bytes(), use_real_ml=False)
        answers = await answered(stack, good, bad, declined)
        assert {"simulated"} == {face.provenance for face in answers.values()}
        wait_until(
            lambda: (
                metrics_of(worker)["facestream_operations_total", "shadow", "success"] == 1
                and metrics_of(worker)["facestream_operations_total", "shadow", "rejected"] == 1
            ),
            "both shadows are scored",
        )
        async with asyncio.timeout(DEADLINE_S), stack.reader(stack.topics.shadow_scored) as reader:
            shadows = {}
            async for record in reader.records(follow=True):
                shadow = decode_shadow_scored(record.value)
                assert record.key == str(shadow.event_id).encode()
                assert b"anna" not in record.value
                assert b'embedding":' not in record.value
                shadows[shadow.event_id] = shadow
                if len(shadows) == 2:
                    break
        assert {good.event_id, bad.event_id} == set(shadows), "an event that declined has no shadow"
        assert FallbackReason.NO_FACE == shadows[bad.event_id].fallback_reason
        assert shadows[good.event_id].quality != answers[good.event_id].quality
        async with stack.reader(stack.topics.scored_face) as reader:
            faces = [face async for face in reader.scored_faces(follow=False)]
        assert {"simulated"} == {face.provenance for face in faces}


async def test_the_circuit_opens_when_the_models_fail_and_closes_when_they_recover(
    stack: Stack,
) -> None:
    """Failed attempts are retried; an open circuit skips inference until a probe succeeds."""
    models_fail = stack.folder / MODELS_FAIL
    with stack.worker(
        app="tests.failing_app",
        ML_BACKOFF_MS="20",
        CIRCUIT_MIN_ATTEMPTS="6",
        CIRCUIT_WINDOW="6",
        CIRCUIT_PROBE_S="0.2",
    ) as worker:
        before = image_event("anna", portrait_bytes())
        assert "real" == (await answered(stack, before))[before.event_id].provenance

        models_fail.touch()
        for user in ("ben", "cleo"):
            event = image_event(user, portrait_bytes())
            face = (await answered(stack, event))[event.event_id]
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
        CIRCUIT_MIN_ATTEMPTS="2",
        CIRCUIT_WINDOW="2",
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
        await answered(stack, *(image_event(f"user-{n}", portrait_bytes()) for n in range(2)))
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
    with stack.worker(
        CIRCUIT_MIN_ATTEMPTS="2", CIRCUIT_WINDOW="2", SIMULATED_ML_THRESHOLD="1"
    ) as worker:
        await answered(stack, *(image_event("anna", b"no picture %d" % n) for n in range(6)))
        event = image_event("ben", portrait_bytes())
        assert "real" == (await answered(stack, event))[event.event_id].provenance
        await assert_fallbacks(stack, worker, FallbackReason.UNREADABLE_IMAGE, 6)
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

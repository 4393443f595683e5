"""Which events get real scores and which simulated ones: each switch with a real worker."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from schemas.codec import decode_shadow_scored
from schemas.fallback import FallbackReason
from streams.scoring.rollout import is_rolled_out
from tests.integration.fallbacks import answered, assert_fallbacks, dead_letter_reasons
from tests.integration.stack import DEADLINE_S, Stack, image_event, running_stack, wait_until
from tests.metrics_page import metrics_of
from tools.pictures import encoded, portrait_bytes


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Start a broker for each test, because the tests count records."""
    with running_stack(tmp_path) as running:
        yield running


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

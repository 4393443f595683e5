"""``POST /api/score`` when its answer is late, missing or cannot be read."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from streams.local.embedded_broker import EmbeddedBroker, free_port
from tests.integration.http_client import (
    PORTRAIT,
    SCORE,
    assert_refused,
    call_async,
    score_request,
    text_of,
)
from tests.integration.stack import Stack, first_record, running_stack, wait_until


async def test_a_late_answer_gives_202(tmp_path: Path) -> None:
    """The body has the event id; another worker answers the event after a kill."""
    with running_stack(tmp_path) as stack:
        with stack.worker(app="tests.stuck_app", HTTP_SCORE_TIMEOUT_MS="3000") as stuck:
            answer = await call_async(stuck.url + SCORE, score_request("patient"))
            assert (202, "pending") == (answer.status, answer.body["status"])
            stuck.kill()
        async with stack.reader(stack.topics.scored_face) as reader:
            with stack.worker():
                record = await first_record(reader, lambda one: one.key == b"patient")
    assert json.loads(record.value)["event_id"] == answer.body["event_id"]


async def test_a_stop_does_not_wait_for_answers(tmp_path: Path) -> None:
    """The waiting request gets 202, and the worker stops within its drain timeout."""
    with (
        running_stack(tmp_path) as stack,
        stack.worker(
            app="tests.stuck_app", HTTP_SCORE_TIMEOUT_MS="50000", DRAIN_TIMEOUT_S="2"
        ) as stuck,
    ):
        waiting = asyncio.create_task(call_async(stuck.url + SCORE, score_request("patient")))
        held = stack.topics.image_submitted
        await asyncio.to_thread(
            wait_until,
            lambda: stuck.get("/health/ready")[1]["held"][held] == 1,
            "the event is in flight",
        )
        status = await asyncio.to_thread(stuck.stop, 30)
        answer = await waiting
    assert (202, "pending") == (answer.status, answer.body["status"])
    assert status == 0


async def test_without_simulated_answers_the_reason_is_returned(tmp_path: Path) -> None:
    """The dead letter ends the wait at once."""
    with (
        running_stack(tmp_path) as stack,
        stack.worker(FALLBACK_TO_SIMULATED="false", HTTP_SCORE_TIMEOUT_MS="60000") as worker,
    ):
        broken = score_request("broken", image=text_of(b"no picture"))
        assert_refused(
            await call_async(worker.url + SCORE, broken), 422, "not scored: unreadable_image"
        )
        assert (await call_async(worker.url + SCORE, score_request("ada"))).status == 200


@pytest.mark.parametrize("before", [0, 1], ids=["first request", "follower is running"])
async def test_an_unreachable_broker_gives_503(tmp_path: Path, before: int) -> None:
    """Pages that need no broker still answer."""
    with EmbeddedBroker(free_port(), log_file=tmp_path / "broker.log") as broker:
        stack = Stack(tmp_path, broker.address)
        with stack.worker(HTTP_SCORE_TIMEOUT_MS="4000") as worker:
            for number in range(before):
                answer = await call_async(worker.url + SCORE, score_request(f"user-{number}"))
                assert answer.status == 200
            broker.stop()
            started = time.monotonic()
            answer = await call_async(worker.url + SCORE, score_request("late"))
            assert time.monotonic() - started < 15
            assert_refused(answer, 503, "")
            assert int(answer.headers["retry-after"]) >= 1
            detected = await call_async(worker.url + "/api/detect-face", {"image": PORTRAIT})
            assert detected.status == 200
            worker.kill()

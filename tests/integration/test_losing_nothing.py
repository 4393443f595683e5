"""Every event is answered after a kill, a stop, a rebalance and without an index."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from streams.local.embedded_broker import free_port
from tests.integration.stack import Stack, answers_for, image_event, running_stack
from tools.pictures import portrait_bytes

EVENTS = 120


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Start a broker for each test."""
    with running_stack(tmp_path) as running:
        yield running


async def submit_many(stack: Stack, count: int) -> set[UUID]:
    events = [image_event(f"user-{n % 17}", portrait_bytes()) for n in range(count)]
    async with stack.submitter() as submitter:
        for event in events:
            await submitter.submit(event, media_type="image/jpeg")
    return {event.event_id for event in events}


async def some_answers(stack: Stack, event_ids: set[UUID], at_least: int) -> None:
    """Wait until some of the events are answered."""
    seen: set[UUID] = set()
    async with asyncio.timeout(60), stack.reader(stack.topics.scored_face) as reader:
        async for face in reader.scored_faces(follow=True):
            seen |= {face.event_id} & event_ids
            if len(seen) >= at_least:
                return


async def all_answered(stack: Stack, event_ids: set[UUID]) -> None:
    async with stack.reader(stack.topics.scored_face) as reader:
        answers = await answers_for(reader, event_ids)
    assert set(answers) == event_ids
    assert all(face.provenance == "real" for faces in answers.values() for face in faces.values())


async def test_every_event_is_answered_after_a_kill(stack: Stack) -> None:
    """A second worker answers the events that SIGKILL interrupted."""
    with stack.worker() as worker:
        event_ids = await submit_many(stack, EVENTS)
        await some_answers(stack, event_ids, 10)
        worker.kill()
    with stack.worker():
        await all_answered(stack, event_ids)


async def test_a_stop_drains_and_the_next_worker_continues(stack: Stack) -> None:
    """SIGTERM ends with exit status 0, and the next worker answers the remaining events."""
    with stack.worker() as worker:
        event_ids = await submit_many(stack, EVENTS)
        await some_answers(stack, event_ids, 10)
        assert await asyncio.to_thread(worker.stop, 30) == 0
    with stack.worker():
        await all_answered(stack, event_ids)


async def test_every_event_is_answered_across_rebalances(stack: Stack) -> None:
    """One worker joins and is then killed."""
    with stack.worker():
        event_ids = await submit_many(stack, EVENTS)
        await some_answers(stack, event_ids, 5)
        with stack.worker() as second:
            await some_answers(stack, event_ids, 40)
            second.kill()
        await all_answered(stack, event_ids)


async def test_a_stop_during_a_rebalance_ends(stack: Stack) -> None:
    """Faust's own handler would close the consumer during the last commit, which then hangs."""
    with stack.worker() as first:
        event_ids = await submit_many(stack, 60)
        await some_answers(stack, event_ids, 5)
        with stack.worker(wait=False):
            # The second worker joins while the first stops.
            first.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(first.stop, 45) == 0
            await all_answered(stack, event_ids)


async def test_scoring_continues_without_an_index(stack: Stack) -> None:
    """More events are answered than the in-flight windows hold (64 each)."""
    unreachable = f"http://127.0.0.1:{free_port()}"
    with stack.worker(QDRANT_URL=unreachable, INFERENCE_THREADS="1"):
        event_ids = await submit_many(stack, 240)
        await all_answered(stack, event_ids)

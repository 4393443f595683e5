"""Whatever dies, every event is answered: kill, stop, rebalance, an index that is away."""

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
    """A broker for each test: they stop workers at bad moments."""
    with running_stack(tmp_path) as running:
        yield running


async def submit_many(stack: Stack, count: int) -> set[UUID]:
    events = [image_event(f"user-{n % 17}", portrait_bytes()) for n in range(count)]
    async with stack.submitter() as submitter:
        for event in events:
            await submitter.submit(event, media_type="image/jpeg")
    return {event.event_id for event in events}


async def some_answers(stack: Stack, event_ids: set[UUID], at_least: int) -> None:
    """Wait until the stream is well under way, and not yet done."""
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


async def test_every_event_is_answered_though_the_worker_is_killed_in_mid_stream(
    stack: Stack,
) -> None:
    """SIGKILL, and a new worker."""
    with stack.worker() as worker:
        event_ids = await submit_many(stack, EVENTS)
        await some_answers(stack, event_ids, 10)
        worker.kill()
    with stack.worker():
        await all_answered(stack, event_ids)


async def test_a_stop_drains_and_exits_with_0_and_the_next_worker_goes_on(stack: Stack) -> None:
    """SIGTERM in mid-stream; what was not started is left, nothing is lost."""
    with stack.worker() as worker:
        event_ids = await submit_many(stack, EVENTS)
        await some_answers(stack, event_ids, 10)
        assert await asyncio.to_thread(worker.stop, 30) == 0
    with stack.worker():
        await all_answered(stack, event_ids)


async def test_every_event_is_answered_though_workers_join_and_leave(stack: Stack) -> None:
    """Two rebalances in mid-stream, the second by a kill."""
    with stack.worker():
        event_ids = await submit_many(stack, EVENTS)
        await some_answers(stack, event_ids, 5)
        with stack.worker() as second:
            await some_answers(stack, event_ids, 40)
            second.kill()
        await all_answered(stack, event_ids)


async def test_a_stop_during_a_rebalance_ends(stack: Stack) -> None:
    """Faust's own handler closes the consumer under the last commit, which then hangs."""
    with stack.worker() as first:
        event_ids = await submit_many(stack, 60)
        await some_answers(stack, event_ids, 5)
        with stack.worker(wait=False):
            # The second one joins while the first stops.
            first.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(first.stop, 45) == 0
            await all_answered(stack, event_ids)


async def test_scoring_goes_on_while_the_index_is_away(stack: Stack) -> None:
    """More events than any window holds are answered; the index never comes."""
    nothing_there = f"http://127.0.0.1:{free_port()}"
    with stack.worker(QDRANT_URL=nothing_there, MAX_IN_FLIGHT="16"):
        event_ids = await submit_many(stack, 80)
        await all_answered(stack, event_ids)

"""A steady load for tests in which brokers and workers die, and the check of its answers."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from uuid import UUID

from aiokafka.errors import KafkaError

from schemas.image_submitted import ImageSubmitted
from streams.errors import StreamsError
from streams.kafka.submitter import Submitter
from tests.integration.stack import Stack, image_event
from tools.background import background
from tools.pictures import portrait_bytes

#: Events per group; a group is acknowledged before the next one is published.
GROUP = 10
#: Pause between two groups: about 100 events per second.
PAUSE_S = 0.1
REAL_EVERY = 20


def events() -> Iterator[ImageSubmitted]:
    """Yield events of which one in twenty is scored, so that two cores can process many.

    The others decline scoring and are answered through the fallback topic.
    """
    for number in itertools.count():
        real = number % REAL_EVERY == 0
        yield image_event(
            f"user-{number % 29}", portrait_bytes() if real else b"x", use_real_ml=real
        )


@asynccontextmanager
async def steady_load(stack: Stack) -> AsyncIterator[set[UUID]]:
    """Publish until the block ends; yield the set of events acknowledged so far."""
    acknowledged: set[UUID] = set()
    async with background(_publish(stack, acknowledged)):
        yield acknowledged


async def _publish(stack: Stack, acknowledged: set[UUID]) -> None:
    coming = events()
    async with stack.submitter() as submitter:
        while True:
            group = list(itertools.islice(coming, GROUP))
            async with asyncio.TaskGroup() as sending:
                for event in group:
                    sending.create_task(_until_acknowledged(submitter, event, acknowledged))
            await asyncio.sleep(PAUSE_S)


async def _until_acknowledged(
    submitter: Submitter, event: ImageSubmitted, acknowledged: set[UUID]
) -> None:
    while True:
        try:
            await submitter.submit(event, media_type="image/jpeg")
        except (KafkaError, StreamsError):
            await asyncio.sleep(PAUSE_S)  # the broker is down; sending an event twice is allowed
        else:
            acknowledged.add(event.event_id)
            return


async def reaches(acknowledged: set[UUID], count: int, deadline_s: float = 60) -> None:
    """Wait until so many events are acknowledged."""
    async with asyncio.timeout(deadline_s):
        while len(acknowledged) < count:
            await asyncio.sleep(0.02)


async def stalls(acknowledged: set[UUID], quiet_s: float = 3, deadline_s: float = 60) -> None:
    """Wait until no event is acknowledged for ``quiet_s``."""
    seen, since = len(acknowledged), time.monotonic()
    async with asyncio.timeout(deadline_s):
        while time.monotonic() - since < quiet_s:
            await asyncio.sleep(0.02)
            if len(acknowledged) != seen:
                seen, since = len(acknowledged), time.monotonic()


async def answered(stack: Stack, deadline_s: float, wanted: set[UUID]) -> dict[UUID, int]:
    """Count the answers to each of these events until the deadline."""
    answers: dict[UUID, int] = {}
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(deadline_s), stack.reader(stack.topics.scored_face) as reader:
            async for face in reader.scored_faces(follow=True):
                answers[face.event_id] = answers.get(face.event_id, 0) + 1
                if len(answers) >= len(wanted) and wanted <= answers.keys():
                    break
    return {event_id: answers.get(event_id, 0) for event_id in wanted}


async def all_answered(stack: Stack, wanted: set[UUID], deadline_s: float = 90) -> None:
    """Fail unless each of these events is answered within the deadline."""
    counts = await answered(stack, deadline_s, wanted)
    lost = [event_id for event_id, count in counts.items() if count == 0]
    print(f"audit: events={len(wanted)} lost={len(lost)} answers={sum(counts.values())}")
    assert not lost, f"{len(lost)} of {len(wanted)} events are not answered"

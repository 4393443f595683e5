"""What becomes of a scored-face event: a change of the index, a dead letter, or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import pytest

from schemas.codec import encode_scored_face
from schemas.fallback import FallbackHeaders, FallbackReason
from schemas.scored_face import ScoredFace
from streams.index.batch_writer import BatchWriter
from streams.index.errors import IndexRejected
from streams.index.indexer import Indexer
from streams.index.points import FacePoint, GoneFaces
from streams.index.vector_index import VectorIndex
from streams.messages import Incoming
from streams.telemetry.metrics import Metrics
from tests.fakes import FakeIndex, FakePublisher, incoming
from tests.streams.index.examples import scored, simulated


def message(event: ScoredFace) -> Incoming:
    return incoming(encode_scored_face(event), topic="scored-face")


@dataclass
class Setting:
    """An indexer at work, and what it touches."""

    indexer: Indexer
    index: FakeIndex
    publisher: FakePublisher

    async def handle_all(self, *events: ScoredFace) -> None:
        """Handle the events at once."""
        await asyncio.gather(*(self.indexer.handle(message(event)) for event in events))


@asynccontextmanager
async def indexing(rejected_event: str | None = None) -> AsyncIterator[Setting]:
    index = FakeIndex(
        lambda changes: (
            IndexRejected("no such size")
            if rejected_event in [change.event_id for change in changes]
            else None
        )
    )
    publisher = FakePublisher()

    async def the_index() -> VectorIndex:
        return index  # type: ignore[return-value]

    writer = BatchWriter(
        the_index,
        batch=64,
        is_leaving=lambda: False,
        metrics=Metrics(),
        on_wait=lambda: None,
    )
    indexer = Indexer(
        writer,
        fallback_topic="simulated-fallback",
        publish=publisher.publish,
        metrics=Metrics(),
    )
    running = asyncio.create_task(writer.run())
    try:
        yield Setting(indexer, index, publisher)
    finally:
        running.cancel()


async def test_an_event_without_faces_removes_its_points() -> None:
    """In the order of the events."""
    event_id = uuid4()
    async with indexing() as at:
        await at.handle_all(scored(event_id), simulated(FallbackReason.NO_FACE, event_id))
    assert [type(change) for change in at.index.stored] == [FacePoint, GoneFaces]


async def test_a_simulated_answer_after_a_failure_leaves_the_index_alone() -> None:
    """A time-out today does not delete the face of yesterday."""
    async with indexing() as at:
        await at.handle_all(simulated(FallbackReason.INFERENCE_TIMEOUT))
    assert at.index.tried == []
    assert at.publisher.published == []


async def test_a_rejected_face_becomes_a_dead_letter() -> None:
    """With its bytes and the index's reason; the others are stored."""
    events = [scored() for _ in range(3)]
    async with indexing(rejected_event=str(events[1].event_id)) as at:
        await at.handle_all(*events)
    assert [change.event_id for change in at.index.stored] == [
        str(events[0].event_id),
        str(events[2].event_id),
    ]
    (letter,) = at.publisher.published
    assert letter.topic == "simulated-fallback"
    assert letter.value == encode_scored_face(events[1])
    failure = FallbackHeaders.from_headers(letter.headers)
    assert failure.fallback_reason is FallbackReason.INVALID_EVENT
    assert "no such size" in failure.fallback_detail
    assert failure.source_topic == "scored-face"


@pytest.mark.parametrize("value", [None, b"", b"not json", b"{}"])
async def test_a_record_that_is_no_scored_face_becomes_a_dead_letter(value: bytes | None) -> None:
    """Another producer wrote it; it must neither stop the worker nor be lost."""
    async with indexing() as at:
        await at.indexer.handle(incoming(value, topic="scored-face"))
    (letter,) = at.publisher.published
    assert letter.value == value
    failure = FallbackHeaders.from_headers(letter.headers)
    assert failure.fallback_reason is FallbackReason.INVALID_EVENT
    assert "not a scored-face event" in failure.fallback_detail
    assert failure.fallback_attempts == 0
    assert at.index.tried == []


async def test_a_record_too_large_for_the_fallback_topic_is_stored_without_its_value() -> None:
    """Otherwise it would stop one worker after the other."""
    async with indexing() as at:
        at.publisher.largest = lambda _: 10_000
        event = incoming(b"x" * 10_001, topic="scored-face")
        await at.indexer.handle(event)
    (letter,) = at.publisher.published
    failure = FallbackHeaders.from_headers(letter.headers)
    assert letter.value == b""
    assert (failure.source_topic, failure.source_offset) == ("scored-face", event.offset)

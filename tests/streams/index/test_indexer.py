"""Indexing: batches in order, retried for ever, and one bad face does not hold up the others."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

import streams.index.indexer
from schemas.codec import encode_scored_face
from schemas.fallback import FallbackHeaders, FallbackReason
from schemas.scored_face import BoundingBox, Landmarks, ModelNames, ScoredFace, face_id_of
from streams.errors import Abandoned
from streams.index.indexer import Indexer, change_for, index_face_id
from streams.index.vector_index import (
    FacePoint,
    GoneFaces,
    IndexMismatch,
    IndexRejected,
    IndexUnavailable,
    VectorIndex,
)
from streams.messages import Incoming
from streams.telemetry.metrics import Metrics
from tests.fakes import FakeIndex, FakePublisher, incoming

SCORED_AT = datetime(2024, 5, 1, 12, tzinfo=UTC)


def scored(event_id: UUID | None = None, index: int = 0, **fields: Any) -> ScoredFace:
    """A real face."""
    event_id = event_id or uuid4()
    defaults: dict[str, Any] = {
        "event_id": event_id,
        "face_id": face_id_of(event_id, index),
        "user_id": "user-1",
        "face_index": index,
        "face_count": index + 1,
        "bounding_box": BoundingBox(x=0.0, y=0.0, width=10.0, height=10.0),
        "landmarks": Landmarks(
            left_eye=(1.0, 1.0),
            right_eye=(2.0, 1.0),
            nose=(1.5, 2.0),
            mouth_left=(1.0, 3.0),
            mouth_right=(2.0, 3.0),
        ),
        "embedding": (0.6, 0.8),
        "embedding_size": 2,
        **dict.fromkeys(("quality", "frontality", "symmetry", "resolution", "confidence"), 0.5),
        "formula_version": "1",
        "provenance": "real",
        "model": ModelNames(
            detector="yunet", detector_sha256="a" * 64, embedder="sface", embedder_sha256="b" * 64
        ),
        "image_sha256": "c" * 64,
        "scored_at": SCORED_AT,
    }
    return ScoredFace(**{**defaults, **fields})


def simulated(reason: FallbackReason, event_id: UUID | None = None) -> ScoredFace:
    """The answer to an event that was not scored for real."""
    return scored(event_id, provenance="simulated", fallback_reason=reason, model=None)


def message(face: ScoredFace) -> Incoming:
    return incoming(encode_scored_face(face), topic="scored-face")


@dataclass
class Setting:
    """An indexer at work, and what it touches."""

    indexer: Indexer
    index: FakeIndex
    publisher: FakePublisher
    leaving: list[bool]
    waits: list[None]
    """One for each time that the indexer said it waits."""

    async def handle_all(self, *faces: ScoredFace) -> None:
        await asyncio.gather(*(self.indexer.handle(message(face)) for face in faces))

    @property
    def stored_ids(self) -> list[str]:
        return [change.event_id for change in self.index.stored]


@asynccontextmanager
async def indexing(
    refuses: Callable[[Any], Exception | None] = lambda changes: None,
    *,
    batch: int = 64,
    opened: asyncio.Future[Any] | None = None,
) -> AsyncIterator[Setting]:
    index, publisher, leaving = FakeIndex(refuses), FakePublisher(), list[bool]()
    waits: list[None] = []

    async def the_index() -> VectorIndex:
        return (await asyncio.shield(opened)) if opened else index  # type: ignore[return-value]

    indexer = Indexer(
        the_index,
        fallback_topic="simulated-fallback",
        batch=batch,
        publish=publisher.publish,
        is_leaving=lambda: bool(leaving),
        metrics=Metrics(),
        on_wait=lambda: waits.append(None),
    )
    writing = asyncio.create_task(indexer.run())
    try:
        yield Setting(indexer, index, publisher, leaving, waits)
    finally:
        writing.cancel()


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow at once."""
    monkeypatch.setattr(streams.index.indexer, "FIRST_WAIT_S", 0.0)


async def test_what_arrives_together_is_written_together_and_in_order() -> None:
    """One upsert for a burst; a later score of a face must not lose to an earlier one."""
    faces = [scored() for _ in range(10)]
    async with indexing() as at:
        await at.handle_all(*faces)
    assert len(at.index.tried) == 1
    assert at.stored_ids == [str(face.event_id) for face in faces]


async def test_a_batch_has_a_largest_size() -> None:
    """INDEX_BATCH, as a request has a largest one."""
    faces = [scored() for _ in range(10)]
    async with indexing(batch=4) as at:
        await at.handle_all(*faces)
    assert [len(batch) for batch in at.index.tried] == [4, 4, 2]
    assert at.stored_ids == [str(face.event_id) for face in faces]


async def test_handling_ends_when_the_face_is_stored_and_not_before() -> None:
    """The ack follows, and after it nobody writes the face again."""
    opened: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    async with indexing(opened=opened) as at:
        handling = asyncio.create_task(at.indexer.handle(message(scored())))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not handling.done()
        opened.set_result(at.index)
        await handling
    assert len(at.index.stored) == 1


async def test_an_index_that_is_away_is_tried_again_until_it_is_back() -> None:
    """Nothing is skipped, nothing is stored twice, and the order is kept."""
    answers = [IndexUnavailable("away")] * 5
    faces = [scored() for _ in range(3)]
    async with indexing(lambda _: answers.pop() if answers else None) as at:
        await at.handle_all(*faces)
    assert len(at.index.tried) == 6
    assert len(at.waits) == 5, "health must not take this for a worker that has stalled"
    assert at.stored_ids == [str(face.event_id) for face in faces]
    assert at.publisher.published == []


async def test_a_server_that_asks_for_a_pause_gets_it_within_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """429 with Retry-After; not for the hours that a broken proxy may ask for."""
    pauses: list[float] = []

    async def pause(seconds: float, _: object) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(streams.index.indexer, "pause", pause)
    answers = [IndexUnavailable("busy", 7.0), IndexUnavailable("busy", 7200.0)]
    async with indexing(lambda _: answers.pop(0) if answers else None) as at:
        await at.handle_all(scored())
        assert len(at.waits) == len(pauses), "health is told all the time"
    assert pauses == [5.0, 2.0] + [5.0] * 6
    assert sum(pauses[2:]) == streams.index.indexer.LONGEST_ASKED_S


async def test_one_rejected_face_is_found_and_kept_while_the_others_are_stored() -> None:
    """It is written alone, refused alone, and goes to the fallback topic with its bytes."""
    faces = [scored() for _ in range(5)]
    bad = str(faces[2].event_id)

    def refuses(changes: list[FacePoint]) -> Exception | None:
        return IndexRejected("no such size") if bad in [c.event_id for c in changes] else None

    async with indexing(refuses) as at:
        await at.handle_all(*faces)
    assert at.stored_ids == [str(face.event_id) for face in faces if face is not faces[2]]
    (letter,) = at.publisher.published
    assert letter.topic == "simulated-fallback"
    assert letter.value == encode_scored_face(faces[2])
    failure = FallbackHeaders.from_headers(letter.headers)
    assert failure.fallback_reason is FallbackReason.INVALID_EVENT
    assert "no such size" in failure.fallback_detail
    assert failure.source_topic == "scored-face"


async def test_an_index_that_is_away_while_a_bad_face_is_sought_loses_none() -> None:
    """Writing each alone is retried just the same."""
    faces = [scored() for _ in range(3)]
    bad = str(faces[0].event_id)
    outages = [IndexUnavailable("away")] * 2

    def refuses(changes: list[FacePoint]) -> Exception | None:
        if bad in [change.event_id for change in changes]:
            return IndexRejected("bad")
        return outages.pop() if outages else None

    async with indexing(refuses) as at:
        await at.handle_all(*faces)
    assert at.stored_ids == [str(face.event_id) for face in faces[1:]]
    assert len(at.publisher.published) == 1


async def test_any_other_error_of_the_index_comes_through() -> None:
    """It stops the worker: the face stays unacknowledged. The next batch is written."""
    answers: list[Exception] = [IndexMismatch("another size")]
    async with indexing(lambda _: answers.pop() if answers else None) as at:
        with pytest.raises(IndexMismatch):
            await at.indexer.handle(message(scored()))
        await at.indexer.handle(message(scored()))
    assert len(at.index.stored) == 1


async def test_waiting_for_the_index_is_abandoned_when_the_worker_leaves() -> None:
    """Each face of the batch is left for its partition's next owner."""
    async with indexing(lambda _: IndexUnavailable("away")) as at:
        handling = [asyncio.create_task(at.indexer.handle(message(scored()))) for _ in range(3)]
        async with asyncio.timeout(5):
            while len(at.index.tried) < 3:
                await asyncio.sleep(0)
        at.leaving.append(True)
        results = await asyncio.gather(*handling, return_exceptions=True)
    assert [type(result) for result in results] == [Abandoned] * 3
    assert at.publisher.published == []


async def test_waiting_for_the_index_to_open_is_abandoned_too() -> None:
    """An index that never came must not hold up a rebalance; afterwards, writing goes on."""
    opened: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    async with indexing(opened=opened) as at:
        at.leaving.append(True)
        async with asyncio.timeout(5):
            with pytest.raises(Abandoned):
                await at.indexer.handle(message(scored()))
        at.leaving.clear()
        opened.set_result(at.index)
        await at.indexer.handle(message(scored()))
    assert len(at.index.stored) == 1


async def test_a_face_that_was_let_go_of_is_not_written() -> None:
    """A cancelled handler's event belongs to somebody else, who may have a newer one."""
    opened: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    async with indexing(opened=opened, batch=1) as at:
        first = asyncio.create_task(at.indexer.handle(message(scored())))
        second = asyncio.create_task(at.indexer.handle(message(scored())))
        for _ in range(20):
            await asyncio.sleep(0)
        second.cancel()
        opened.set_result(at.index)
        await first
        await at.indexer.handle(message(scored()))
    assert len(at.index.stored) == 2


@pytest.mark.parametrize("reason", list(FallbackReason))
def test_simulated_scores_are_never_indexed(reason: FallbackReason) -> None:
    """Only a verdict of the models, that there is no face, changes the index: points go."""
    face = simulated(reason)
    verdict = reason in (FallbackReason.NO_FACE, FallbackReason.LOW_CONFIDENCE)
    assert change_for(face) == (GoneFaces(str(face.event_id)) if verdict else None)


async def test_the_points_of_an_event_without_faces_are_removed() -> None:
    """In its turn between the others."""
    event_id = uuid4()
    async with indexing() as at:
        await at.handle_all(scored(event_id), simulated(FallbackReason.NO_FACE, event_id))
    assert [type(change) for change in at.index.stored] == [FacePoint, GoneFaces]


async def test_an_answer_that_says_nothing_of_the_picture_leaves_the_index_alone() -> None:
    """A time-out of today does not delete the face of yesterday."""
    async with indexing() as at:
        await at.handle_all(simulated(FallbackReason.INFERENCE_TIMEOUT))
    assert at.index.tried == []
    assert at.publisher.published == []


@pytest.mark.parametrize("value", [None, b"", b"not json", b"{}"])
async def test_what_is_not_a_scored_face_is_kept_in_the_fallback_topic(
    value: bytes | None,
) -> None:
    """Somebody else wrote it; it must neither stop the worker nor be lost."""
    async with indexing() as at:
        await at.indexer.handle(incoming(value, topic="scored-face"))
    (letter,) = at.publisher.published
    assert letter.value == value
    failure = FallbackHeaders.from_headers(letter.headers)
    assert failure.fallback_reason is FallbackReason.INVALID_EVENT
    assert "not a scored-face event" in failure.fallback_detail
    assert failure.fallback_attempts == 0
    assert at.index.tried == []


async def test_what_is_no_scored_face_and_too_large_to_be_kept_is_left_at_its_source() -> None:
    """Else it would stop every worker in turn."""
    async with indexing() as at:
        at.publisher.largest = lambda _: 10_000
        event = incoming(b"x" * 10_001, topic="scored-face")
        await at.indexer.handle(event)
    (letter,) = at.publisher.published
    failure = FallbackHeaders.from_headers(letter.headers)
    assert letter.value == b""
    assert "left at its source" in failure.fallback_detail
    assert (failure.source_topic, failure.source_offset) == ("scored-face", event.offset)


def test_a_point_says_whose_face_it_is_and_by_which_model() -> None:
    """What is in the payload is what a search can tell."""
    face = scored(index=1)
    point = change_for(face)
    assert isinstance(point, FacePoint)
    assert (point.face_id, point.event_id) == (str(face.face_id), str(face.event_id))
    assert (point.user_id, point.face_index, point.face_count) == ("user-1", 1, 2)
    assert (point.embedder, point.vector) == ("sface", face.embedding)
    assert json.loads(json.dumps(point.payload)) == {
        "quality": 0.5,
        "confidence": 0.5,
        "image_sha256": "c" * 64,
        "scored_at": "2024-05-01T12:00:00+00:00",
        "formula_version": "1",
        "embedder_sha256": "b" * 64,
    }


def test_the_index_derives_face_ids_as_the_record_does() -> None:
    """Else it would refuse every face."""
    event_id = uuid4()
    assert index_face_id(str(event_id), 2) == str(face_id_of(event_id, 2))

"""Batches are written in order, and retried while the index is unavailable."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import pytest

import streams.index.batch_writer
from streams.errors import Abandoned
from streams.index.batch_writer import BatchWriter
from streams.index.errors import IndexMismatch, IndexRejected, IndexUnavailable
from streams.index.points import FacePoint, GoneFaces
from streams.index.vector_index import VectorIndex
from streams.telemetry.metrics import Metrics
from tests.fakes import FakeIndex
from tests.streams.index.examples import face

Changes = Sequence[FacePoint | GoneFaces]


@dataclass
class Setting:
    """A writer at work, and what it touches."""

    writer: BatchWriter
    index: FakeIndex
    leaving: list[bool]
    waits: list[None]
    """One for each call of ``on_wait``."""

    async def write_all(self, *changes: FacePoint) -> None:
        """Write the changes at once."""
        await asyncio.gather(*(self.writer.write(change) for change in changes))


def faces(count: int) -> list[FacePoint]:
    """As many faces of different events."""
    return [face(str(uuid4())) for _ in range(count)]


@asynccontextmanager
async def writing(
    refuses: Callable[[Changes], Exception | None] = lambda changes: None,
    *,
    batch: int = 64,
    opened: asyncio.Event | None = None,
) -> AsyncIterator[Setting]:
    index, leaving, waits = FakeIndex(refuses), list[bool](), list[None]()

    async def the_index() -> VectorIndex:
        if opened is not None:
            await opened.wait()
        return index  # type: ignore[return-value]

    writer = BatchWriter(
        the_index,
        batch=batch,
        is_leaving=lambda: bool(leaving),
        metrics=Metrics(),
        on_wait=lambda: waits.append(None),
    )
    running = asyncio.create_task(writer.run())
    try:
        yield Setting(writer, index, leaving, waits)
    finally:
        running.cancel()


async def let_others_run() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow at once."""
    monkeypatch.setattr(streams.index.batch_writer, "FIRST_WAIT_S", 0.0)


async def test_changes_that_arrive_together_are_one_batch_in_their_order() -> None:
    """An older score of a face must not overwrite a newer one."""
    changes = faces(10)
    async with writing() as at:
        await at.write_all(*changes)
    assert len(at.index.tried) == 1
    assert at.index.stored == changes


async def test_a_batch_has_a_largest_size() -> None:
    changes = faces(10)
    async with writing(batch=4) as at:
        await at.write_all(*changes)
    assert [len(batch) for batch in at.index.tried] == [4, 4, 2]
    assert at.index.stored == changes


async def test_a_write_ends_when_the_change_is_stored_and_not_before() -> None:
    """The ack follows; after it no worker writes the face again."""
    opened = asyncio.Event()
    async with writing(opened=opened) as at:
        written = asyncio.create_task(at.writer.write(face(str(uuid4()))))
        await let_others_run()
        assert not written.done()
        opened.set()
        await written
    assert len(at.index.stored) == 1


async def test_an_unavailable_index_is_retried_until_it_answers() -> None:
    """Nothing is skipped, nothing is stored twice, and the order is kept."""
    answers = [IndexUnavailable("away")] * 5
    changes = faces(3)
    async with writing(lambda _: answers.pop() if answers else None) as at:
        await at.write_all(*changes)
    assert len(at.index.tried) == 6
    assert len(at.waits) == 5, "health must not report the worker as stalled"
    assert at.index.stored == changes


async def test_a_pause_that_the_server_asks_for_is_kept_within_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Status 429 with Retry-After; a broken proxy may ask for hours."""
    pauses: list[float] = []

    async def pause(seconds: float, _: object) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(streams.index.batch_writer, "pause", pause)
    answers = [IndexUnavailable("busy", 7.0), IndexUnavailable("busy", 7200.0)]
    async with writing(lambda _: answers.pop(0) if answers else None) as at:
        await at.write_all(*faces(1))
        assert len(at.waits) == len(pauses), "on_wait is called all the time"
    assert pauses == [5.0, 2.0] + [5.0] * 6
    assert sum(pauses[2:]) == streams.index.batch_writer.LONGEST_ASKED_S


async def test_one_rejected_change_is_found_and_the_others_are_stored() -> None:
    """After the rejection of the batch each change is written singly."""
    changes = faces(5)
    bad = changes[2]
    async with writing(lambda batch: IndexRejected("no") if bad in batch else None) as at:
        results = await asyncio.gather(
            *(at.writer.write(change) for change in changes), return_exceptions=True
        )
    assert at.index.stored == [change for change in changes if change is not bad]
    assert [type(result) for result in results] == [
        IndexRejected if change is bad else type(None) for change in changes
    ]


async def test_an_outage_during_the_search_for_a_rejected_change_loses_none() -> None:
    """Single changes are retried like batches."""
    changes = faces(3)
    outages = [IndexUnavailable("away")] * 2

    def refuses(batch: Changes) -> Exception | None:
        if changes[0] in batch:
            return IndexRejected("bad")
        return outages.pop() if outages else None

    async with writing(refuses) as at:
        results = await asyncio.gather(
            *(at.writer.write(change) for change in changes), return_exceptions=True
        )
    assert at.index.stored == changes[1:]
    assert [type(result) for result in results] == [IndexRejected, type(None), type(None)]


async def test_any_other_error_reaches_the_caller() -> None:
    """It stops the worker and leaves the event unacknowledged; the next batch is written."""
    answers: list[Exception] = [IndexMismatch("another size")]
    async with writing(lambda _: answers.pop() if answers else None) as at:
        with pytest.raises(IndexMismatch):
            await at.write_all(*faces(1))
        await at.write_all(*faces(1))
    assert len(at.index.stored) == 1


async def test_retries_are_abandoned_when_the_worker_leaves() -> None:
    """All events of the batch are left to the next owner of their partitions."""
    async with writing(lambda _: IndexUnavailable("away")) as at:
        written = [asyncio.create_task(at.writer.write(change)) for change in faces(3)]
        async with asyncio.timeout(5):
            while len(at.index.tried) < 3:
                await asyncio.sleep(0)
        at.leaving.append(True)
        results = await asyncio.gather(*written, return_exceptions=True)
    assert [type(result) for result in results] == [Abandoned] * 3


async def test_waiting_for_the_index_to_open_is_abandoned_too() -> None:
    """It must not hold up a rebalance; afterwards, writing continues."""
    opened = asyncio.Event()
    async with writing(opened=opened) as at:
        at.leaving.append(True)
        async with asyncio.timeout(5):
            with pytest.raises(Abandoned):
                await at.write_all(*faces(1))
        at.leaving.clear()
        opened.set()
        await at.write_all(*faces(1))
    assert len(at.index.stored) == 1


async def test_the_change_of_a_cancelled_caller_is_not_written() -> None:
    """Its event belongs to another worker now, which may have a newer one."""
    opened = asyncio.Event()
    async with writing(opened=opened, batch=1) as at:
        first, second, third = faces(3)
        kept = asyncio.create_task(at.writer.write(first))
        cancelled = asyncio.create_task(at.writer.write(second))
        await let_others_run()
        cancelled.cancel()
        opened.set()
        await kept
        await at.writer.write(third)
    assert at.index.stored == [first, third]

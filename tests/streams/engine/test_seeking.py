"""Seeking after a rebalance: reading resumes where no event can be skipped."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from faust.types import TP

from streams.app import FacestreamApp, create_app
from streams.config.settings import load_settings
from streams.messages import Incoming
from tests.fakes import fake_engine

COMMITTED, FRESH = TP("image-submitted", 0), TP("image-submitted", 1)


class Thread:
    """A fake of the consumer's thread that records its calls."""

    def __init__(self, app: FacestreamApp) -> None:
        self.app = app
        self.to_beginning: list[Any] = []
        self.flow_was_active: list[bool] = []

    async def seek_to_committed(self) -> dict[TP, int | None]:
        """Report ``None`` for a partition without a committed offset, like aiokafka."""
        self.flow_was_active.append(self.app.consumer.flow_active)
        return {COMMITTED: 7, FRESH: None}

    async def seek_to_beginning(self, *partitions: Any) -> None:
        """Record the partitions."""
        self.to_beginning += partitions

    def assignment(self) -> set[TP]:
        """Return both partitions."""
        return {COMMITTED, FRESH}


@pytest.fixture
async def app() -> FacestreamApp:
    """The app with its real consumer, not started."""
    return create_app(load_settings())


async def test_a_partition_without_a_committed_offset_is_read_from_its_beginning(
    app: FacestreamApp,
) -> None:
    """Faust would resume after the events it dropped; none is delivered during the seek."""
    thread = app.consumer._thread = Thread(app)
    app.consumer.resume_flow()
    await app.consumer.perform_seek()
    assert [FRESH] == thread.to_beginning
    assert thread.flow_was_active == [False]
    assert app.consumer._read_offset[COMMITTED] == 7
    assert app.consumer._read_offset[FRESH] is None


async def test_only_offsets_that_the_broker_holds_count_as_committed(
    app: FacestreamApp,
) -> None:
    """A commit that fails while its partition is revoked leaves its offset in the consumer."""
    thread = app.consumer._thread = Thread(app)
    app.consumer._committed_offset[FRESH] = 40
    await app.consumer.perform_seek()
    assert [FRESH] == thread.to_beginning
    assert app.consumer._committed_offset[FRESH] is None
    assert app.consumer._committed_offset[COMMITTED] == 7


async def test_no_event_is_accepted_before_the_seek_to_the_committed_offsets(
    app: FacestreamApp,
) -> None:
    """The late end of an earlier rebalance may deliver events, of which Faust drops some.

    Those behind them must not be answered: their acks would be committed over the dropped ones.
    """
    handled: list[int] = []

    async def handle(incoming: Incoming) -> None:
        handled.append(incoming.offset)

    window = app.runtime.window(FRESH.topic, handle, concurrency=4)
    app.loop = asyncio.get_running_loop()
    app.consumer._thread = Thread(app)
    app.crash = _fail
    reading = fake_engine()

    async def deliver(offset: int) -> None:
        event = reading.event(FRESH.partition, offset, generation_id=app.consumer_generation_id)
        window._admit(event)
        for _ in range(10):
            await asyncio.sleep(0)

    app.on_rebalance_start()
    await asyncio.sleep(0)
    app.consumer_generation_id = 2  # Faust sets it in its consumer's thread
    await deliver(0)
    await asyncio.wait_for(app._on_partitions_assigned({FRESH}, 2), 5)
    await deliver(1)
    assert handled == []
    await app.consumer.perform_seek()
    await deliver(0)
    assert handled == [0]

    # The seek of an earlier assignment ends after the next rebalance has begun.
    app.on_rebalance_start()
    await asyncio.sleep(0)
    await app.consumer.perform_seek()
    await deliver(1)
    assert handled == [0]


async def test_a_worker_without_partitions_is_not_leaving(app: FacestreamApp) -> None:
    """There is no partition to seek in."""
    app.runtime.assignment.begin_drain()
    app.crash = _fail
    await asyncio.wait_for(app._on_partitions_assigned(set(), 1), 5)
    assert not app.runtime.assignment.is_leaving()


async def test_a_rebalance_drains_in_the_event_loop(app: FacestreamApp) -> None:
    """Faust announces a rebalance in its consumer's thread; windows are not thread-safe."""
    threads: list[threading.Thread] = []
    app.loop = asyncio.get_running_loop()
    drained = asyncio.Event()

    def begin_drain() -> None:
        threads.append(threading.current_thread())
        drained.set()

    app.runtime.assignment.begin_drain = begin_drain  # type: ignore[method-assign]
    await asyncio.to_thread(app.on_rebalance_start)
    await asyncio.wait_for(drained.wait(), 5)
    assert threads == [threading.main_thread()]


async def test_a_generation_begins_before_faust_resumes_the_flow(app: FacestreamApp) -> None:
    """Faust sends its own signal only after it has resumed."""
    began: list[int] = []

    def begin_generation(partitions: int) -> None:
        assert not app.tables.recovery.signal_recovery_start.is_set()
        began.append(partitions)

    app.runtime.assignment.begin_generation = begin_generation  # type: ignore[method-assign]
    app.consumer._thread = Thread(app)
    app.topics._topic_name_index.clear()
    app.crash = _fail
    await asyncio.wait_for(
        asyncio.gather(app._on_partitions_assigned({COMMITTED}, 1), return_exceptions=True), 5
    )
    assert began == [1]


async def _fail(reason: BaseException) -> None:
    """Ignore the crash: later steps of the assignment need a started app."""

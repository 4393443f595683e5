"""Committing: the committed offset follows acks in offset order, across gaps in the log."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from faust.transport.drivers.aiokafka import Consumer
from faust.types import TP

from streams.app import create_app
from streams.config.settings import load_settings
from streams.engine.committing import InOrderConsumer

PARTITION = TP("image-submitted", 0)


@pytest.fixture
async def consumer() -> InOrderConsumer:
    """The consumer that the app creates, not started."""
    made = create_app(load_settings()).consumer
    assert isinstance(made, InOrderConsumer)
    return made


def acknowledge(consumer: InOrderConsumer, *offsets: int) -> None:
    """Record acks as ``Consumer.ack`` does."""
    consumer._acked[PARTITION].extend(offsets)
    consumer._acked_index[PARTITION].update(offsets)


async def test_without_acks_nothing_is_committed(consumer: InOrderConsumer) -> None:
    """An offset is returned once, and only after an ack."""
    assert consumer._new_offset(PARTITION) is None
    acknowledge(consumer, 3)
    assert consumer._new_offset(PARTITION) == 4
    assert consumer._new_offset(PARTITION) is None


async def test_one_commit_crosses_many_gaps(consumer: InOrderConsumer) -> None:
    """Faust's consumer needs one commit interval for each gap."""
    consumer._committed_offset[PARTITION] = 100
    for offset in (103, 104, 110, 200):
        await consumer._add_gap(PARTITION, offset - 2, offset)
        acknowledge(consumer, offset)
    assert consumer._new_offset(PARTITION) == 201


async def test_a_gap_of_a_hundred_million_offsets_takes_no_memory(
    consumer: InOrderConsumer,
) -> None:
    """Retention leaves such a gap for a group that was stopped for long."""
    consumer._committed_offset[PARTITION] = 5
    tracemalloc.start()
    await consumer._add_gap(PARTITION, 6, 100_000_006)
    acknowledge(consumer, 100_000_006)
    assert consumer._new_offset(PARTITION) == 100_000_007
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("accepted", [True, False])
async def test_a_refused_commit_is_retried(
    consumer: InOrderConsumer, monkeypatch: pytest.MonkeyPatch, accepted: bool
) -> None:
    """Faust counts a refused commit as done, so the lag of an idle partition would never shrink."""

    async def answer(self: Any, offsets: Any, start_new_transaction: bool = True) -> bool:
        self._committed_offset.update(offsets)
        return accepted

    monkeypatch.setattr(Consumer, "_commit_offsets", answer)
    monkeypatch.setattr(consumer, "assignment", lambda: {PARTITION})
    consumer._committed_offset[PARTITION] = 3
    acknowledge(consumer, 7)
    offset = consumer._new_offset(PARTITION)
    assert offset == 8
    await consumer._commit_offsets({PARTITION: offset})
    assert consumer._new_offset(PARTITION) == (None if accepted else 8)
    assert consumer._committed_offset[PARTITION] == (8 if accepted else 3)


async def test_a_resumed_partition_does_not_wait_for_a_poll_of_others(
    consumer: InOrderConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its records may have been fetched while a poll for other topics waits."""
    wakes: list[None] = []
    monkeypatch.setattr(consumer._thread, "look_again", lambda: wakes.append(None))
    consumer.on_buffer_full(PARTITION)
    assert not wakes
    consumer.on_buffer_drop(PARTITION)
    assert PARTITION in consumer._get_active_partitions()
    assert wakes


async def test_waking_polls_is_safe_before_the_consumer_starts_and_after_it_ends(
    consumer: InOrderConsumer,
) -> None:
    """A window may drain at either time."""
    thread = consumer._thread
    thread._wake_polls()
    thread.thread_loop.close()
    thread.look_again()

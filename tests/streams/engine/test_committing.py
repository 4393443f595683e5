"""The committed offset follows in-order acks, over whatever holes the log has."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from faust.transport.drivers.aiokafka import Consumer
from faust.types import TP

from streams.app import create_app
from streams.config.settings import load_settings
from streams.engine.committing import InOrderConsumer

PLACE = TP("image-submitted", 0)


@pytest.fixture
async def consumer() -> InOrderConsumer:
    """The consumer that the app really makes; not started."""
    made = create_app(load_settings()).consumer
    assert isinstance(made, InOrderConsumer)
    return made


def acknowledge(consumer: InOrderConsumer, *offsets: int) -> None:
    """As ``Consumer.ack`` does it."""
    consumer._acked[PLACE].extend(offsets)
    consumer._acked_index[PLACE].update(offsets)


async def test_without_acks_nothing_is_committed(consumer: InOrderConsumer) -> None:
    """Not even for a partition that once had some."""
    assert consumer._new_offset(PLACE) is None
    acknowledge(consumer, 3)
    assert consumer._new_offset(PLACE) == 4
    assert consumer._new_offset(PLACE) is None


async def test_many_holes_are_passed_in_one_commit(consumer: InOrderConsumer) -> None:
    """Faust's own consumer needs a commit interval for each."""
    consumer._committed_offset[PLACE] = 100
    for offset in (103, 104, 110, 200):
        await consumer._add_gap(PLACE, offset - 2, offset)
        acknowledge(consumer, offset)
    assert consumer._new_offset(PLACE) == 201


async def test_a_hole_of_a_hundred_million_offsets_costs_nothing(consumer: InOrderConsumer) -> None:
    """What retention leaves behind a group that was away."""
    consumer._committed_offset[PLACE] = 5
    tracemalloc.start()
    await consumer._add_gap(PLACE, 6, 100_000_006)
    acknowledge(consumer, 100_000_006)
    assert consumer._new_offset(PLACE) == 100_000_007
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("taken", [True, False])
async def test_a_commit_that_the_broker_did_not_take_is_tried_again(
    consumer: InOrderConsumer, monkeypatch: pytest.MonkeyPatch, taken: bool
) -> None:
    """Faust believes it done; the partition would show a lag for ever."""

    async def answer(self: Any, offsets: Any, start_new_transaction: bool = True) -> bool:
        self._committed_offset.update(offsets)
        return taken

    monkeypatch.setattr(Consumer, "_commit_offsets", answer)
    monkeypatch.setattr(consumer, "assignment", lambda: {PLACE})
    consumer._committed_offset[PLACE] = 3
    acknowledge(consumer, 7)
    offset = consumer._new_offset(PLACE)
    assert offset == 8
    await consumer._commit_offsets({PLACE: offset})
    assert consumer._new_offset(PLACE) == (None if taken else 8)
    assert consumer._committed_offset[PLACE] == (8 if taken else 3)


async def test_a_partition_that_is_fetched_again_does_not_wait_for_others(
    consumer: InOrderConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A poll for other topics may be under way, and its records are here already."""
    looks: list[None] = []
    monkeypatch.setattr(consumer._thread, "look_again", lambda: looks.append(None))
    consumer.on_buffer_full(PLACE)
    assert not looks
    consumer.on_buffer_drop(PLACE)
    assert PLACE in consumer._get_active_partitions()
    assert looks


async def test_nobody_looks_again_before_the_consumer_is_there_or_after_its_end(
    consumer: InOrderConsumer,
) -> None:
    """Windows begin and end at other times than the consumer's thread."""
    thread = consumer._thread
    thread._wake_polls()
    thread.thread_loop.close()
    thread.look_again()

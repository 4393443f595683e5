"""The in-flight window: acks leave in offset order, and a failure never skips an event."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.errors import Abandoned
from tests.fakes import fake_engine
from tests.streams.engine.windows import Work, feed, offsets, settle, window_of


async def test_an_ack_waits_for_all_earlier_events_of_its_partition() -> None:
    """Events finish in any order; acks leave in offset order."""
    engine, work = fake_engine(), Work()
    await feed(window_of(engine, work), [engine.event(0, n) for n in range(4)])
    for offset in (3, 1, 2):
        work.finish(0, offset)
    await settle()
    assert offsets(engine) == []
    work.finish(0, 0)
    await settle()
    assert offsets(engine) == [0, 1, 2, 3]


async def test_a_slow_event_holds_back_its_own_partition_only() -> None:
    """Each partition has its own order of acks."""
    engine, work = fake_engine(), Work()
    await feed(window_of(engine, work), [engine.event(0, 0), engine.event(1, 0)])
    work.finish(1, 0)
    await settle()
    assert engine.acked == [(engine.event(1, 0).message.tp, 0)]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(0, 2), min_size=1, max_size=30).flatmap(
        lambda partitions: st.tuples(st.just(partitions), st.permutations(range(len(partitions))))
    ),
    st.integers(1, 8),
)
def test_every_event_is_acknowledged_once_and_in_offset_order(
    case: tuple[list[int], list[int]], concurrency: int
) -> None:
    """This holds for any interleaving of partitions and any order of completion."""
    partitions, order = case

    async def run() -> None:
        engine, work = fake_engine(3), Work()
        events = [engine.event(p, n) for n, p in enumerate(partitions)]
        await feed(window_of(engine, work, concurrency=concurrency), events)
        for index in order:
            work.finish(partitions[index], index)
            await settle()
            for partition in range(3):
                acked = offsets(engine, partition)
                of_partition = [n for n, p in enumerate(partitions) if p == partition]
                assert acked == of_partition[: len(acked)]
        await settle(10 * len(partitions))
        assert sorted(offset for _, offset in engine.acked) == list(range(len(partitions)))
        assert not engine.unacked

    asyncio.run(run())


async def test_an_error_while_an_event_is_admitted_stops_the_worker() -> None:
    """Faust would continue with the next event."""
    engine, work = fake_engine(), Work()
    broken = engine.event(0, 0)
    broken.message.value = 5  # type: ignore[assignment]  # no bytes, so it has no size
    with pytest.raises(TypeError) as raised:
        await feed(window_of(engine, work), [broken, engine.event(0, 1)])
    assert engine.crashes == [raised.value]
    assert not work.started


async def test_a_failing_handler_stops_the_worker_and_acknowledges_nothing() -> None:
    """A bug in a handler never skips an event."""
    engine, work = fake_engine(), Work()
    await feed(window_of(engine, work), [engine.event(0, 0), engine.event(0, 1)])
    work.finish(0, 1)
    error = ValueError("a bug")
    work.fail(0, 0, error)
    await settle()
    assert engine.crashes == [error]
    assert offsets(engine) == []


async def test_the_next_event_starts_after_one_has_failed() -> None:
    """A failed event no longer counts as running."""
    engine, work = fake_engine(), Work()
    window = window_of(engine, work, concurrency=1)
    await feed(window, [engine.event(0, 0), engine.event(1, 0)])
    assert (window.state.running, work.started) == (1, [(0, 0)])
    work.fail(0, 0, ValueError("a bug"))
    await settle()
    assert (window.state.running, work.started) == (1, [(0, 0), (1, 0)])
    work.finish(1, 0)
    await settle()
    assert window.state.running == 0
    assert offsets(engine, partition=1) == [0]


async def test_an_event_abandoned_outside_a_drain_stops_the_worker() -> None:
    """No other worker gets the event, and later ones could not be acknowledged."""
    engine, work = fake_engine(), Work()
    await feed(window_of(engine, work), [engine.event(0, 0)])
    work.fail(0, 0, Abandoned())
    await settle()
    assert len(engine.crashes) == 1


async def test_a_cancelled_handler_stops_the_worker() -> None:
    """Its event would hold back its partition silently."""
    engine, work = fake_engine(), Work()
    await feed(window_of(engine, work), [engine.event(0, 0)])
    work.gate(0, 0).cancel()
    await settle()
    assert len(engine.crashes) == 1

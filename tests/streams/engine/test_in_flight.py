"""The in-flight window: what is acknowledged, when, and what is let go of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.engine.in_flight import InFlightWindow
from streams.errors import Abandoned
from streams.messages import Incoming
from tests.fakes import FakeEngine, FakeEvent, fake_engine


class Work:
    """A handler whose events finish when the test says so."""

    def __init__(self) -> None:
        self.started: list[tuple[int, int]] = []
        self._gates: dict[tuple[int, int], asyncio.Future[None]] = {}

    async def __call__(self, incoming: Incoming) -> None:
        place = (incoming.partition, incoming.offset)
        self.started.append(place)
        await self.gate(*place)

    def gate(self, partition: int, offset: int) -> asyncio.Future[None]:
        return self._gates.setdefault(
            (partition, offset), asyncio.get_running_loop().create_future()
        )

    def finish(self, partition: int, offset: int) -> None:
        self.gate(partition, offset).set_result(None)

    def fail(self, partition: int, offset: int, error: Exception) -> None:
        self.gate(partition, offset).set_exception(error)


def window_of(engine: FakeEngine, work: Any, **bounds: Any) -> InFlightWindow:
    defaults = {
        "concurrency": 100,
        "max_events": 100,
        "max_bytes": 10**9,
        "drain_timeout_s": 60.0,
    }
    return InFlightWindow(engine, "events", work, **{**defaults, **bounds})


async def feed(window: InFlightWindow, events: Iterable[FakeEvent]) -> None:
    async def stream() -> AsyncIterator[FakeEvent]:
        for event in events:
            yield event

    await window.feed(stream())
    await settle()


async def settle(turns: int = 10) -> None:
    """Let every task that can run do so; one that starts when another ends takes more turns."""
    for _ in range(turns):
        await asyncio.sleep(0)


def offsets(engine: FakeEngine, partition: int = 0) -> list[int]:
    return [offset for tp, offset in engine.acked if tp.partition == partition]


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


async def test_partitions_do_not_wait_for_each_other() -> None:
    """A slow event holds back its own partition only."""
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
def test_whatever_the_order_every_event_is_acknowledged_once_and_in_order(
    case: tuple[list[int], list[int]], concurrency: int
) -> None:
    """For any interleaving of partitions and any order of completion."""
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


async def test_an_abandoned_event_stops_the_acks_behind_it() -> None:
    """What was finished behind an abandoned event must come again, as it does."""
    engine, work = fake_engine(), Work()
    window = window_of(engine, work)
    await feed(window, [engine.event(0, n) for n in range(3)])
    work.finish(0, 1)
    work.finish(0, 2)
    window.begin_drain()
    work.fail(0, 0, Abandoned())
    await settle()
    assert offsets(engine) == []
    assert not engine.unacked, "wait_empty() would wait for ever"
    assert not engine.crashes


async def test_an_event_that_cannot_be_taken_in_stops_the_worker() -> None:
    """Faust would go on behind it."""
    engine, work = fake_engine(), Work()
    broken = engine.event(0, 0)
    broken.message.value = 5  # type: ignore[assignment]  # no bytes, so it has no size
    with pytest.raises(TypeError) as raised:
        await feed(window_of(engine, work), [broken, engine.event(0, 1)])
    assert engine.crashes == [raised.value]
    assert not work.started


async def test_a_failing_handler_stops_the_worker_and_acknowledges_nothing() -> None:
    """A bug never skips an event."""
    engine, work = fake_engine(), Work()
    await feed(window_of(engine, work), [engine.event(0, 0), engine.event(0, 1)])
    work.finish(0, 1)
    error = ValueError("a bug")
    work.fail(0, 0, error)
    await settle()
    assert engine.crashes == [error]
    assert offsets(engine) == []


async def test_the_next_event_starts_when_one_has_failed() -> None:
    """Its place is free again, and nothing runs in the end."""
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


async def test_a_full_window_stops_fetching_until_it_is_half_empty() -> None:
    """Back-pressure by count, for the partitions of this topic."""
    engine, work = fake_engine(), Work()
    window = window_of(engine, work, max_events=4)
    await feed(window, [engine.event(0, n) for n in range(3)])
    assert not engine.paused
    await feed(window, [engine.event(0, 3)])
    assert engine.paused == engine.assigned
    work.finish(0, 0)
    await settle()
    assert engine.paused, "three of four are still held"
    work.finish(0, 1)
    await settle()
    assert not engine.paused


async def test_a_full_window_says_so_again_when_it_is_fetched_for_all_the_same() -> None:
    """The end of an earlier rebalance may come late, and resumes every partition."""
    engine, work = fake_engine(), Work()
    window = window_of(engine, work, max_events=2)
    await feed(window, [engine.event(0, n) for n in range(2)])
    engine.paused.clear()
    await feed(window, [engine.event(0, 2)])
    assert engine.paused == {engine.event(0, 2).message.tp}


async def test_a_full_window_is_also_one_full_of_bytes() -> None:
    """Back-pressure by bytes."""
    engine, work = fake_engine(), Work()
    await feed(window_of(engine, work, max_bytes=1000), [engine.event(0, 0, value=b"x" * 2000)])
    assert engine.paused
    work.finish(0, 0)
    await settle()
    assert not engine.paused


async def test_what_was_fetched_before_the_window_was_full_is_taken_in_all_the_same() -> None:
    """The consumer hands over what it has already; dropping it would lose it."""
    engine, work = fake_engine(), Work()
    window = window_of(engine, work, max_events=2)
    await feed(window, [engine.event(0, n) for n in range(5)])
    for offset in range(5):
        work.finish(0, offset)
    await settle()
    assert offsets(engine) == [0, 1, 2, 3, 4]


async def test_events_of_an_older_generation_are_not_taken_in() -> None:
    """They belong to another worker by now."""
    engine, work = fake_engine(), Work()
    engine.generation = 2
    await feed(window_of(engine, work), [engine.event(0, 0, generation_id=1)])
    assert work.started == []
    assert not engine.unacked


async def test_a_drain_lets_go_of_what_has_not_started_and_finishes_the_rest() -> None:
    """So that a rebalance takes one event's time, not the queue's."""
    engine, work = fake_engine(), Work()
    window = window_of(engine, work, concurrency=2)
    await feed(window, [engine.event(0, n) for n in range(6)])
    window.begin_drain()
    work.finish(0, 1)
    work.finish(0, 0)
    await settle()
    assert offsets(engine) == [0, 1]
    assert work.started == [(0, 0), (0, 1)]
    assert not engine.unacked
    assert window.state.held == 0


async def test_nothing_is_acknowledged_over_a_gap_that_a_drain_makes() -> None:
    """Even when a later event of the partition had started."""
    engine, work = fake_engine(), Work()
    window = window_of(engine, work, concurrency=1)
    await feed(window, [engine.event(0, n) for n in range(3)])
    lane = next(iter(window._lanes.values()))
    lane[2].started = True  # cannot happen while tasks start in order; must not matter if it does
    window.begin_drain()
    lane[2].done = True
    work.finish(0, 0)
    await settle()
    assert offsets(engine) == [0]


async def test_a_drain_has_an_end() -> None:
    """An event that does not finish in time is left for the next owner."""
    engine, work = fake_engine(), Work()
    window = window_of(engine, work, drain_timeout_s=0.01)
    await feed(window, [engine.event(0, 0)])
    window.begin_drain()
    async with asyncio.timeout(5):
        while engine.unacked:
            await asyncio.sleep(0.005)
    assert window.state.held == 0
    work.finish(0, 0)
    await settle()
    assert offsets(engine) == []


async def test_a_new_generation_starts_empty_and_takes_events_again() -> None:
    """After a rebalance the same offsets come again, and count again."""
    engine, work = fake_engine(), Work()
    window = window_of(engine, work, max_events=1)
    await feed(window, [engine.event(0, 0)])
    window.begin_drain()
    engine.generation = 2
    window.begin_generation()
    assert window.state.held == 0
    assert not engine.paused
    work.finish(0, 0)
    await settle()
    assert offsets(engine) == [], "an ack of the older generation"
    await feed(window, [engine.event(0, 0, generation_id=2)])
    await settle()
    assert offsets(engine) == [0]


async def test_a_generation_that_is_counted_anew_takes_events_again() -> None:
    """A broker that was restarted, or a group that was empty, begins with the same number."""
    engine, work = fake_engine(), Work()
    window = window_of(engine, work, concurrency=1)
    await feed(window, [engine.event(0, n) for n in range(3)])
    window.begin_drain()
    window.begin_generation()
    work.finish(0, 0)
    await settle()
    assert offsets(engine) == [], "an ack of the older assignment"
    await feed(window, [engine.event(0, n) for n in range(3)])
    work.finish(0, 1)
    work.finish(0, 2)
    await settle(50)
    assert offsets(engine) == [0, 1, 2]


async def test_nothing_is_taken_in_while_the_window_drains() -> None:
    """It would be worked on for nothing: the assignment is over."""
    engine, work = fake_engine(), Work()
    window = window_of(engine, work)
    window.begin_drain()
    await feed(window, [engine.event(0, 0)])
    assert work.started == []
    assert not engine.unacked


async def test_an_event_that_is_abandoned_in_the_middle_of_work_stops_the_worker() -> None:
    """Nobody else is given it, and what comes behind it could not be acknowledged."""
    engine, work = fake_engine(), Work()
    await feed(window_of(engine, work), [engine.event(0, 0)])
    work.fail(0, 0, Abandoned())
    await settle()
    assert len(engine.crashes) == 1


async def test_a_handler_that_is_cancelled_stops_the_worker() -> None:
    """Its event would hold back its partition without a word."""
    engine, work = fake_engine(), Work()
    await feed(window_of(engine, work), [engine.event(0, 0)])
    work.gate(0, 0).cancel()
    await settle()
    assert len(engine.crashes) == 1


async def test_headers_count_as_bytes_held() -> None:
    """A sender may put megabytes there."""
    engine, work = fake_engine(), Work()
    window = window_of(engine, work, max_bytes=1000)
    await feed(window, [engine.event(0, 0, headers=[("large", b"x" * 2000)])])
    assert engine.paused


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_no_more_run_at_once_than_allowed(concurrency: int) -> None:
    """Concurrency is a bound of its own, below that of what is held."""
    engine, work = fake_engine(), Work()
    window = window_of(engine, work, concurrency=concurrency)
    await feed(window, [engine.event(0, n) for n in range(5)])
    assert len(work.started) == concurrency
    assert window.state.running == concurrency

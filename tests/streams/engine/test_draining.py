"""Draining and new generations: what a window does with its events at a rebalance."""

from __future__ import annotations

import asyncio

from streams.errors import Abandoned
from tests.fakes import fake_engine
from tests.streams.engine.windows import Work, feed, offsets, settle, window_of


async def test_a_draining_window_admits_no_event() -> None:
    """Its assignment is over, also for a partition without held events."""
    engine, work = fake_engine(), Work()
    window = window_of(engine, work)
    window.begin_drain()
    await feed(window, [engine.event(0, 5)])
    assert work.started == []
    assert not engine.unacked


async def test_a_handler_that_fails_after_its_event_was_released_does_not_crash() -> None:
    """Its resources may be closed by then, and the next owner handles the event."""
    engine, work = fake_engine(), Work()
    window = window_of(engine, work)
    await feed(window, [engine.event(0, 0)])
    window.begin_drain()
    window.begin_generation()
    work.fail(0, 0, RuntimeError("the index is closed"))
    await settle()
    assert engine.crashes == []


async def test_no_event_behind_an_abandoned_one_is_acknowledged() -> None:
    """The next owner handles the abandoned event and those behind it again."""
    engine, work = fake_engine(), Work()
    window = window_of(engine, work)
    await feed(window, [engine.event(0, n) for n in range(3)])
    work.finish(0, 1)
    work.finish(0, 2)
    window.begin_drain()
    work.fail(0, 0, Abandoned())
    await settle()
    assert offsets(engine) == []
    assert not engine.unacked, "``wait_empty()`` would never return"
    assert not engine.crashes


async def test_events_of_an_older_generation_are_not_admitted() -> None:
    """Another worker owns their partition."""
    engine, work = fake_engine(), Work()
    engine.generation = 2
    await feed(window_of(engine, work), [engine.event(0, 0, generation_id=1)])
    assert work.started == []
    assert not engine.unacked


async def test_a_drain_drops_events_that_have_not_started_and_finishes_the_rest() -> None:
    """A rebalance then takes the time of one event, not of the whole queue."""
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


async def test_no_event_behind_a_gap_left_by_a_drain_is_acknowledged() -> None:
    """This holds even if a later event of the partition has started."""
    engine, work = fake_engine(), Work()
    window = window_of(engine, work, concurrency=1)
    await feed(window, [engine.event(0, n) for n in range(3)])
    lane = next(iter(window._lanes.values()))
    lane[2].started = True  # tasks start in order; the drain must not rely on it
    window.begin_drain()
    lane[2].done = True
    work.finish(0, 0)
    await settle()
    assert offsets(engine) == [0]


async def test_a_drain_ends_at_its_deadline() -> None:
    """The next owner handles an event that is not done by then."""
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


async def test_a_new_generation_starts_empty_and_admits_events() -> None:
    """After a rebalance the same offsets are delivered and acknowledged again."""
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
    assert offsets(engine) == [], "acknowledged in the earlier generation"
    await feed(window, [engine.event(0, 0, generation_id=2)])
    await settle()
    assert offsets(engine) == [0]


async def test_two_generations_may_carry_the_same_number() -> None:
    """An empty group and a restarted broker count generations from the start again."""
    engine, work = fake_engine(), Work()
    window = window_of(engine, work, concurrency=1)
    await feed(window, [engine.event(0, n) for n in range(3)])
    window.begin_drain()
    window.begin_generation()
    work.finish(0, 0)
    await settle()
    assert offsets(engine) == [], "acknowledged in the earlier generation"
    await feed(window, [engine.event(0, n) for n in range(3)])
    work.finish(0, 1)
    work.finish(0, 2)
    await settle(50)
    assert offsets(engine) == [0, 1, 2]

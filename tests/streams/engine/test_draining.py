"""Rebalances: a window accepts no event between their start and the next assignment."""

from __future__ import annotations

from tests.fakes import fake_engine
from tests.streams.engine.test_in_flight import Work, feed, offsets, settle, window_of


async def test_a_draining_window_accepts_no_event() -> None:
    """Nor one of a partition without held events when the drain began."""
    engine, work = fake_engine(), Work()
    window = window_of(engine, work)
    window.begin_drain()
    await feed(window, [engine.event(0, 5)])
    assert work.started == []
    assert not engine.unacked


async def test_a_group_may_count_its_generations_from_the_start_again() -> None:
    """An empty group forgets its generation, so two assignments may carry the same number."""
    engine, work = fake_engine(), Work()
    window = window_of(engine, work)
    await feed(window, [engine.event(0, 0)])
    window.begin_drain()
    window.begin_generation()
    work.finish(0, 0)
    await settle()
    assert offsets(engine) == [], "acknowledged in the earlier generation"
    await feed(window, [engine.event(0, 0)])
    await settle()
    assert offsets(engine) == [0]


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

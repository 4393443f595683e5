"""Back-pressure: a full window pauses fetching and loses no event."""

from __future__ import annotations

import pytest

from tests.fakes import fake_engine
from tests.streams.engine.windows import Work, feed, offsets, settle, window_of


async def test_a_full_window_pauses_fetching_until_it_is_half_empty() -> None:
    """The pause covers all assigned partitions of the topic."""
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


async def test_a_full_window_pauses_again_when_an_event_arrives_anyway() -> None:
    """The late end of an earlier rebalance resumes every partition."""
    engine, work = fake_engine(), Work()
    window = window_of(engine, work, max_events=2)
    await feed(window, [engine.event(0, n) for n in range(2)])
    engine.paused.clear()
    await feed(window, [engine.event(0, 2)])
    assert engine.paused == {engine.event(0, 2).message.tp}


async def test_a_window_is_full_when_its_bytes_are_used_up() -> None:
    """One large event can fill a window."""
    engine, work = fake_engine(), Work()
    await feed(window_of(engine, work, max_bytes=1000), [engine.event(0, 0, value=b"x" * 2000)])
    assert engine.paused
    work.finish(0, 0)
    await settle()
    assert not engine.paused


async def test_a_full_window_still_admits_fetched_events() -> None:
    """They were fetched before the pause; a dropped event would be lost."""
    engine, work = fake_engine(), Work()
    window = window_of(engine, work, max_events=2)
    await feed(window, [engine.event(0, n) for n in range(5)])
    for offset in range(5):
        work.finish(0, offset)
    await settle()
    assert offsets(engine) == [0, 1, 2, 3, 4]


async def test_headers_count_towards_the_held_bytes() -> None:
    """A sender may put megabytes into them."""
    engine, work = fake_engine(), Work()
    window = window_of(engine, work, max_bytes=1000)
    await feed(window, [engine.event(0, 0, headers=[("large", b"x" * 2000)])])
    assert engine.paused


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_concurrency_bounds_the_running_handlers(concurrency: int) -> None:
    """The window may hold more events than it runs."""
    engine, work = fake_engine(), Work()
    window = window_of(engine, work, concurrency=concurrency)
    await feed(window, [engine.event(0, n) for n in range(5)])
    assert len(work.started) == concurrency
    assert window.state.running == concurrency

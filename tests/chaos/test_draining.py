"""Between the start of a rebalance and the next assignment a window takes nothing in."""

from __future__ import annotations

import pytest

from models.errors import InferenceFailed
from streams.inference.pool import InferencePool
from tests.fakes import fake_app
from tests.streams.engine.test_in_flight import Work, feed, offsets, settle, window_of
from tools.chaos.pipelines import Command, commanded, random_delays


async def test_a_generation_that_is_drained_takes_no_more_events() -> None:
    """Also not of a partition of which nothing was held when the drain began."""
    app, work = fake_app(), Work()
    window = window_of(app, work)
    window.begin_drain()
    await feed(window, [app.event(0, 5)])
    assert work.started == []
    assert not app.consumer.unacked


async def test_a_group_that_counts_its_generations_anew_is_served() -> None:
    """It was empty in between, and the number of the generation is the same as before."""
    app, work = fake_app(), Work()
    window = window_of(app, work)
    await feed(window, [app.event(0, 0)])
    window.begin_drain()
    window.begin_generation()
    work.finish(0, 0)
    await settle()
    assert offsets(app) == [], "an ack of the generation before"
    await feed(window, [app.event(0, 0)])
    await settle()
    assert offsets(app) == [0]


async def test_a_handler_that_fails_after_its_event_was_given_up_stops_nothing() -> None:
    """What it needed may be closed by then, and the event is the next owner's."""
    app, work = fake_app(), Work()
    window = window_of(app, work)
    await feed(window, [app.event(0, 0)])
    window.begin_drain()
    window.begin_generation()
    work.fail(0, 0, RuntimeError("the index is closed"))
    await settle()
    assert app.crashes == []


async def test_a_bug_that_a_picture_brings_out_is_a_failed_inference() -> None:
    """Raised as it is it would stop worker after worker."""
    pool = InferencePool(random_delays, threads=1, timeout_s=5)
    await pool.start()
    try:
        with pytest.raises(InferenceFailed, match="RuntimeError"):
            await pool.score(commanded(b"x", Command.BUG), min_confidence=0.5, max_faces=1)
    finally:
        await pool.stop()

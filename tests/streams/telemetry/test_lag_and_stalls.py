"""Lag and stalls: when a worker counts as stalled."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from aiokafka.errors import KafkaConnectionError

import streams.telemetry.lag_and_stalls
from streams.engine.in_flight import InFlightWindow
from streams.messages import Incoming
from streams.telemetry.lag_and_stalls import ProgressMonitor
from tests.fakes import FakeEngine

TOPIC = "image-submitted"
STALLED_AFTER_S = 60.0


class Watched:
    """A progress monitor over one empty window, with a clock that the test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.engine = FakeEngine(behind=6)
        self.now = time.monotonic()

        async def handle(_: Incoming) -> None:
            """Handle no event: none arrives."""

        self.window = InFlightWindow(
            self.engine,
            TOPIC,
            handle,
            concurrency=1,
            max_events=1,
            max_bytes=1,
            drain_timeout_s=1,
        )
        self.monitor = ProgressMonitor(self.engine, [self.window], STALLED_AFTER_S)
        # Replaces the clock of the module, not that of the event loop.
        clock = SimpleNamespace(monotonic=lambda: self.now)
        monkeypatch.setattr(streams.telemetry.lag_and_stalls, "time", clock)

    async def stalled_after(self, seconds: float) -> dict[str, str]:
        """Let time pass, take a sample, and return the stalled topics."""
        self.now += seconds
        await self.monitor._sample()
        return self.monitor.stalled()


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    """A worker that is six records behind."""
    return Watched(monkeypatch)


async def test_a_worker_that_fetches_no_records_is_stalled(watched: Watched) -> None:
    """The windows are empty, so only the lag shows that the consumer stopped fetching."""
    assert await watched.stalled_after(0) == {}
    assert await watched.stalled_after(STALLED_AFTER_S - 1) == {}, "not yet"
    stalled = await watched.stalled_after(2)
    assert stalled == {TOPIC: "nothing finished for 61 s: 0 events held, 6 behind"}


async def test_a_worker_that_finishes_events_is_not_stalled(watched: Watched) -> None:
    """It lags until the backlog is done."""
    await watched.stalled_after(0)
    for _ in range(4):
        watched.window.state.last_progress = watched.now + STALLED_AFTER_S / 2
        assert await watched.stalled_after(STALLED_AFTER_S / 2 + 1) == {}
    assert await watched.stalled_after(STALLED_AFTER_S) != {}, "no event finishes any more"


async def test_a_worker_that_caught_up_gets_the_full_time_again(watched: Watched) -> None:
    """The first record after a quiet hour must not count as a stall."""
    await watched.stalled_after(0)
    watched.engine.behind = 0
    assert await watched.stalled_after(3600) == {}
    assert watched.monitor.lag == {TOPIC: 0}
    watched.engine.behind = 1
    assert await watched.stalled_after(3600) == {}
    assert await watched.stalled_after(STALLED_AFTER_S + 1) != {}


@pytest.mark.parametrize(
    "error", [KafkaConnectionError("no broker"), ConnectionResetError(), TimeoutError()]
)
async def test_an_unreachable_broker_is_not_a_stall(watched: Watched, error: Exception) -> None:
    """A restart of the worker would not help, and the outage does not count as waiting."""
    await watched.stalled_after(0)
    assert watched.monitor.broker_answers
    watched.engine.unreachable = error
    assert await watched.stalled_after(STALLED_AFTER_S + 1) == {}
    assert not watched.monitor.broker_answers
    watched.engine.unreachable = None
    assert await watched.stalled_after(1) == {}
    assert watched.monitor.broker_answers
    assert await watched.stalled_after(STALLED_AFTER_S + 1) != {}

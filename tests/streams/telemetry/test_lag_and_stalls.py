"""Whether a worker gets on: what counts as a stall, and what does not."""

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
    """A watch over one window that holds nothing, and a clock that the test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.engine = FakeEngine(behind=6)
        self.now = time.monotonic()

        async def handle(_: Incoming) -> None:
            """Never called."""

        self.window = InFlightWindow(
            self.engine,
            TOPIC,
            handle,
            concurrency=1,
            max_events=1,
            max_bytes=1,
            drain_timeout_s=1,
        )
        self.watch = ProgressMonitor(self.engine, [self.window], STALLED_AFTER_S)
        # The module's own clock, not the event loop's.
        clock = SimpleNamespace(monotonic=lambda: self.now)
        monkeypatch.setattr(streams.telemetry.lag_and_stalls, "time", clock)

    async def look_after(self, seconds: float) -> dict[str, str]:
        """What is stalled when so much time has passed and one more look was taken."""
        self.now += seconds
        await self.watch._sample()
        return self.watch.stalled()


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(monkeypatch)


async def test_records_that_are_not_fetched_for_too_long_are_a_stall(watched: Watched) -> None:
    """Nothing is held, so only the lag can say it: the consumer has stopped fetching."""
    assert await watched.look_after(0) == {}
    assert await watched.look_after(STALLED_AFTER_S - 1) == {}, "not yet"
    stalled = await watched.look_after(2)
    assert stalled == {TOPIC: "nothing finished for 61 s: 0 events held, 6 behind"}


async def test_a_worker_that_finishes_something_is_not_stalled(watched: Watched) -> None:
    """It lags behind for as long as the backlog takes."""
    await watched.look_after(0)
    for _ in range(4):
        watched.window.state.last_progress = watched.now + STALLED_AFTER_S / 2
        assert await watched.look_after(STALLED_AFTER_S / 2 + 1) == {}
    assert await watched.look_after(STALLED_AFTER_S) != {}, "and then nothing more"


async def test_who_has_caught_up_starts_anew(watched: Watched) -> None:
    """An idle worker is not to blame for the first record after a quiet hour."""
    await watched.look_after(0)
    watched.engine.behind = 0
    assert await watched.look_after(3600) == {}
    assert watched.watch.lag == {TOPIC: 0}
    watched.engine.behind = 1
    assert await watched.look_after(3600) == {}
    assert await watched.look_after(STALLED_AFTER_S + 1) != {}


@pytest.mark.parametrize(
    "error", [KafkaConnectionError("no broker"), ConnectionResetError(), TimeoutError()]
)
async def test_a_broker_that_is_away_is_not_a_stall(watched: Watched, error: Exception) -> None:
    """A restart would not bring it back; and the time of its outage does not count."""
    await watched.look_after(0)
    assert watched.watch.broker_answers
    watched.engine.unreachable = error
    assert await watched.look_after(STALLED_AFTER_S + 1) == {}
    assert not watched.watch.broker_answers
    watched.engine.unreachable = None
    assert await watched.look_after(1) == {}
    assert watched.watch.broker_answers
    assert await watched.look_after(STALLED_AFTER_S + 1) != {}

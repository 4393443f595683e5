"""Whether a worker gets on: what counts as a stall, and what does not."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

import streams.telemetry.lag_and_stalls
from streams.engine.in_flight import InFlightWindow
from streams.telemetry.lag_and_stalls import ProgressWatch
from tests.fakes import FakePartition

TOPIC = "image-submitted"
STALLED_AFTER_S = 60.0
FIRST, SECOND = FakePartition(TOPIC, 0), FakePartition(TOPIC, 1)
ANOTHERS = FakePartition("scored-face", 0)


class Consumer:
    """Where the log ends and where this worker reads, by partition; ``error`` when asked."""

    def __init__(self) -> None:
        self.ends: dict[FakePartition, int | None] = {FIRST: 10, SECOND: 10}
        self.positions: dict[FakePartition, int | None] = {FIRST: 4, SECOND: 10}
        self.error: Exception | None = None

    def assignment(self) -> set[FakePartition]:
        return set(self.positions)

    async def highwaters(self, *partitions: FakePartition) -> dict[FakePartition, int | None]:
        if self.error:
            raise self.error
        return {tp: self.ends[tp] for tp in partitions}

    async def position(self, tp: FakePartition) -> int | None:
        return self.positions[tp]


class App:
    """What the watch asks of the app."""

    def __init__(self) -> None:
        self.consumer = Consumer()
        self.rebalancing = False


class Watched:
    """A watch over one window that holds nothing, and a clock that the test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.app = App()
        self.now = time.monotonic()

        async def handle(_: Any) -> None:
            """Never called."""

        self.window = InFlightWindow(
            self.app,
            TOPIC,
            handle,
            concurrency=1,
            max_events=1,
            max_bytes=1,
            drain_timeout_s=1,
        )
        self.watch = ProgressWatch(self.app, [self.window], STALLED_AFTER_S)
        # The module's own clock, not the event loop's.
        clock = SimpleNamespace(monotonic=lambda: self.now)
        monkeypatch.setattr(streams.telemetry.lag_and_stalls, "time", clock)

    async def look_after(self, seconds: float) -> dict[str, str]:
        """What is stalled when so much time has passed and one more look was taken."""
        self.now += seconds
        await self.watch._look()
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
    watched.app.consumer.positions[FIRST] = 10
    assert await watched.look_after(3600) == {}
    assert watched.watch.lag == {TOPIC: 0}
    watched.app.consumer.ends[FIRST] = 11
    assert await watched.look_after(3600) == {}
    assert await watched.look_after(STALLED_AFTER_S + 1) != {}


@pytest.mark.parametrize(
    "error", [KafkaConnectionError("no broker"), ConnectionResetError(), TimeoutError()]
)
async def test_a_broker_that_is_away_is_not_a_stall(watched: Watched, error: Exception) -> None:
    """A restart would not bring it back; and the time of its outage does not count."""
    await watched.look_after(0)
    assert watched.watch.broker_answers
    watched.app.consumer.error = error
    assert await watched.look_after(STALLED_AFTER_S + 1) == {}
    assert not watched.watch.broker_answers
    watched.app.consumer.error = None
    assert await watched.look_after(1) == {}
    assert watched.watch.broker_answers
    assert await watched.look_after(STALLED_AFTER_S + 1) != {}


async def test_partitions_of_other_topics_and_unknown_ends_are_no_lag(watched: Watched) -> None:
    """Before the first fetch nobody knows where a log ends."""
    consumer = watched.app.consumer
    consumer.positions = {FIRST: None, SECOND: 10, ANOTHERS: 0}
    consumer.ends = {FIRST: None, SECOND: 10, ANOTHERS: 99}
    await watched.look_after(0)
    assert watched.watch.lag == {TOPIC: 0}
    assert await watched.look_after(STALLED_AFTER_S + 1) == {}


@pytest.mark.parametrize("without", ["assignment", "calm"])
async def test_without_partitions_or_during_a_rebalance_nothing_is_expected(
    watched: Watched, without: str
) -> None:
    """What is there to be read is somebody else's, or nobody's yet."""
    if without == "assignment":
        watched.app.consumer.positions = {}
    else:
        watched.app.rebalancing = True
    await watched.look_after(0)
    assert await watched.look_after(STALLED_AFTER_S + 1) == {}

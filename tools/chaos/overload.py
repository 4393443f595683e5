"""Memory while a worker processes a backlog of large events; see ``make overload``.

The embedded broker keeps everything in memory, so the backlog is divided into pieces, each with a
broker and a worker of its own. A piece's whole backlog is published before its worker starts.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from streams.runtime import EVENTS_PER_THREAD
from tools.background import background
from tools.chaos.clients import counting, producing, send_picture
from tools.chaos.processes import usage
from tools.chaos.single import Single, single

#: Events that may arrive after the window has reported that it is full: the poll that is being
#: delivered, and one that aiokafka had already started.
POLLED_AHEAD = 2 * 64
#: Answers before the first measurement of RSS.
FIRST = 1_000
#: Allowed growth of RSS from the first measurement to the end. It may shrink: freed memory is
#: returned to the system in between.
ALLOWED_GROWTH = 0.10
#: RSS is the median of some samples, as it varies by 20 MB within a second or two.
SAMPLES, SAMPLE_EVERY_S = 9, 0.2


@dataclass(frozen=True, slots=True)
class Piece:
    """The measurements of one backlog."""

    events: int
    seconds: float
    first_rss_mb: float
    last_rss_mb: float
    max_rss_mb: float
    max_held: int
    max_held_mb: float
    held_allowed: int
    held_mb_allowed: float

    @property
    def ok(self) -> bool:
        """Whether memory did not grow, and the window kept its limits."""
        return (
            self.last_rss_mb <= self.first_rss_mb * (1 + ALLOWED_GROWTH)
            and self.max_held <= self.held_allowed
            and self.max_held_mb <= self.held_mb_allowed
        )

    def line(self) -> str:
        """Return the line that the command prints."""
        return (
            f"overload: events={self.events} seconds={self.seconds:.0f} "
            f"rss_first_mb={self.first_rss_mb:.0f} rss_last_mb={self.last_rss_mb:.0f} "
            f"rss_most_mb={self.max_rss_mb:.0f} held_most={self.max_held} "
            f"(allowed {self.held_allowed}) held_most_mb={self.max_held_mb:.1f} "
            f"(allowed {self.held_mb_allowed:.1f}) {'ok' if self.ok else 'GREW OR HELD TOO MUCH'}"
        )


@dataclass
class _Samples:
    """Samples of the worker's memory and of its in-flight window."""

    last_rss_mb: deque[float] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    max_rss_mb: float = 0.0
    max_held: int = 0
    max_held_bytes: int = 0

    @property
    def rss_mb(self) -> float:
        return statistics.median(self.last_rss_mb)

    async def take(self, one: Single) -> None:
        topic = one.topics.image_submitted
        while True:
            if (used := usage(one.worker.pid)) is not None:
                self.last_rss_mb.append(used.rss_mb)
                self.max_rss_mb = max(self.max_rss_mb, used.rss_mb)
            _, health = await asyncio.to_thread(one.worker.get, "/health/ready")
            if health:
                self.max_held = max(self.max_held, health["held"][topic])
                self.max_held_bytes = max(self.max_held_bytes, health["held_bytes"][topic])
            await asyncio.sleep(SAMPLE_EVERY_S)


async def piece(
    folder: Path, events: int, event_bytes: int, *, threads: int, in_flight_mb: int
) -> Piece:
    """Publish a backlog, start a worker, and measure until all is answered and indexed."""
    settings = {
        "CHAOS_SCORER": "instant",
        "INFERENCE_THREADS": str(threads),
        "MAX_IN_FLIGHT_MB": str(in_flight_mb),
    }
    async with single(folder, **settings) as one:
        await _publish(one, events, event_bytes)
        started, samples = time.monotonic(), _Samples()
        one.worker.start()
        async with background(samples.take(one)):
            first_rss_mb = await _process_backlog(one, samples, events)
            seconds, last_rss_mb = time.monotonic() - started, samples.rss_mb
    return Piece(
        events=events,
        seconds=seconds,
        first_rss_mb=first_rss_mb,
        last_rss_mb=last_rss_mb,
        max_rss_mb=samples.max_rss_mb,
        max_held=samples.max_held,
        max_held_mb=samples.max_held_bytes / 1e6,
        held_allowed=EVENTS_PER_THREAD * threads + POLLED_AHEAD,
        held_mb_allowed=in_flight_mb * 1.048576 + POLLED_AHEAD * event_bytes / 1e6,
    )


async def _process_backlog(one: Single, samples: _Samples, events: int) -> float:
    """Wait until all events are answered and indexed; return the first RSS in MB."""
    async with counting(one.broker.address, one.topics.scored_face) as answers:
        await answers.reach(min(FIRST, events // 2), 120)
        first_rss_mb = samples.rss_mb
        await answers.reach(events, 60 + events / 20)
    async with asyncio.timeout(60):
        while len(one.qdrant.points) < events:
            await asyncio.sleep(0.05)
    return first_rss_mb


async def _publish(one: Single, events: int, event_bytes: int) -> None:
    rng = random.Random(events)
    picture = rng.randbytes(event_bytes - 16)
    async with producing(one.broker.address) as producer:
        pending = []
        for number in range(events):
            unique = picture + rng.randbytes(16)
            pending.append(await send_picture(producer, one.topics.image_submitted, number, unique))
            if len(pending) == 100:
                await asyncio.gather(*pending)
                pending = []
        await asyncio.gather(*pending)

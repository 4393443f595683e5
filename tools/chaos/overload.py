"""A backlog of large events is worked off with flat memory; see ``make overload``.

The embedded broker keeps everything in memory, so the backlog comes in pieces, each with a broker
and a worker of its own. Within a piece the whole backlog is there before the worker starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import statistics
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from aiokafka import AIOKafkaProducer

from streams.local.embedded_broker import free_port
from tools.chaos.answers import counting
from tools.chaos.processes import usage
from tools.chaos.qdrant import FakeQdrant
from tools.chaos.single import Single, single

#: What may still come after the window said that it is full: the poll that is being delivered, and
#: one that aiokafka had begun with every partition, as it takes an empty set for all of them.
POLLED_AHEAD = 2 * 64
#: RSS is first measured after so many answers.
FIRST = 1_000
#: How much larger it may be at the end. Smaller is no fault: holes are given back in between.
ALLOWED_GROWTH = 0.10
#: RSS is the median of so many samples, as holes of 20 MB come and go within a second or two.
SAMPLES, SAMPLE_EVERY_S = 9, 0.2


@dataclass(frozen=True, slots=True)
class Piece:
    """What was measured while one backlog was worked off."""

    events: int
    seconds: float
    first_rss_mb: float
    last_rss_mb: float
    most_rss_mb: float
    most_held: int
    most_held_mb: float
    held_allowed: int
    held_mb_allowed: float

    @property
    def ok(self) -> bool:
        """Memory did not grow, and the window kept to its bounds."""
        return (
            self.last_rss_mb <= self.first_rss_mb * (1 + ALLOWED_GROWTH)
            and self.most_held <= self.held_allowed
            and self.most_held_mb <= self.held_mb_allowed
        )

    def line(self) -> str:
        """As the command prints it."""
        return (
            f"overload: events={self.events} seconds={self.seconds:.0f} "
            f"rss_first_mb={self.first_rss_mb:.0f} rss_last_mb={self.last_rss_mb:.0f} "
            f"rss_most_mb={self.most_rss_mb:.0f} held_most={self.most_held} "
            f"(allowed {self.held_allowed}) held_most_mb={self.most_held_mb:.1f} "
            f"(allowed {self.held_mb_allowed:.1f}) {'ok' if self.ok else 'GREW OR HELD TOO MUCH'}"
        )


async def piece(
    folder: Path, events: int, event_bytes: int, *, in_flight: int, in_flight_mb: int
) -> Piece:
    """Publish a backlog, start a worker on it, and measure until all is answered and indexed."""
    # A server index, as an embedded one would keep every face in the worker's own memory.
    qdrant = FakeQdrant(free_port(), slow_s=0, rng=random.Random(0))
    await qdrant.start()
    settings = {
        "QDRANT_URL": f"http://127.0.0.1:{qdrant.port}",
        "CHAOS_SCORER": "instant",
        "MAX_IN_FLIGHT": str(in_flight),
        "MAX_IN_FLIGHT_MB": str(in_flight_mb),
    }
    async with contextlib.aclosing(qdrant), single(folder, **settings) as one:
        await _publish(one, events, event_bytes)
        started = time.monotonic()
        one.worker.start()
        async with (
            _sampling(one) as samples,
            counting(one.broker.address, one.topics.scored_face) as answers,
        ):
            await answers.reach(min(FIRST, events // 2), 120)
            first = samples.rss_mb
            await answers.reach(events, 60 + events / 20)
            async with asyncio.timeout(60):
                while len(qdrant.points) < events:
                    await asyncio.sleep(0.05)
            seconds = time.monotonic() - started
            last = samples.rss_mb
        return Piece(
            events=events,
            seconds=seconds,
            first_rss_mb=first,
            last_rss_mb=last,
            most_rss_mb=samples.most_rss_mb,
            most_held=samples.most_held,
            most_held_mb=samples.most_held_bytes / 1e6,
            held_allowed=in_flight + POLLED_AHEAD,
            held_mb_allowed=in_flight_mb * 1.048576 + POLLED_AHEAD * event_bytes / 1e6,
        )


async def _publish(one: Single, events: int, event_bytes: int) -> None:
    rng = random.Random(events)
    picture = rng.randbytes(event_bytes - 16)
    producer = AIOKafkaProducer(bootstrap_servers=one.broker.address, acks="all", linger_ms=5)
    await producer.start()
    try:
        pending = []
        for number in range(events):
            headers = [("content-type", b"image/jpeg"), ("ce_id", str(uuid4()).encode())]
            pending.append(
                await producer.send(
                    one.topics.image_submitted,
                    picture + rng.randbytes(16),
                    key=f"user-{number % 97}".encode(),
                    headers=headers,
                )
            )
            if len(pending) == 100:
                await asyncio.gather(*pending)
                pending = []
        await asyncio.gather(*pending)
    finally:
        await producer.stop()


@dataclass
class _Samples:
    last_rss_mb: deque[float] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    most_rss_mb: float = 0.0
    most_held: int = 0
    most_held_bytes: int = 0

    @property
    def rss_mb(self) -> float:
        return statistics.median(self.last_rss_mb)


@asynccontextmanager
async def _sampling(one: Single) -> AsyncIterator[_Samples]:
    samples = _Samples()
    topic = one.topics.image_submitted

    async def sample() -> None:
        while True:
            used = usage(one.worker.pid)
            if used is not None:
                samples.last_rss_mb.append(used.rss_mb)
                samples.most_rss_mb = max(samples.most_rss_mb, used.rss_mb)
            _, health = await asyncio.to_thread(one.worker.get, "/health/ready")
            if health:
                samples.most_held = max(samples.most_held, health["held"][topic])
                held_bytes = health["held_bytes"][topic]
                samples.most_held_bytes = max(samples.most_held_bytes, held_bytes)
            await asyncio.sleep(SAMPLE_EVERY_S)

    task = asyncio.create_task(sample())
    try:
        yield samples
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

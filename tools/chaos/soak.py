"""A long steady load: memory, threads, open files and lag over time; see ``make soak``."""

from __future__ import annotations

import asyncio
import csv
import random
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

from aiokafka import AIOKafkaProducer

from streams.local.embedded_broker import free_port
from tools.chaos.answers import Counter, counting
from tools.chaos.load import photographs
from tools.chaos.processes import usage
from tools.chaos.qdrant import FakeQdrant
from tools.chaos.single import Single, single

#: Growth after this share of the time is a leak rather than warming up.
WARM_SHARE = 0.2
ALLOWED_GROWTH = 0.10
ALLOWED_MORE_FILES = 8
ALLOWED_MORE_THREADS = 4


@dataclass(frozen=True, slots=True)
class Sample:
    """The worker at one moment. ``lag``: events published and not yet answered."""

    seconds: float
    rss_mb: float
    threads: int
    open_files: int
    lag: int


@dataclass(frozen=True, slots=True)
class Soak:
    """What was measured."""

    samples: Sequence[Sample]
    published: int
    answered: int

    @property
    def warm(self) -> Sample:
        """The moment from which nothing may grow."""
        return self.samples[int(len(self.samples) * WARM_SHARE)]

    @property
    def ok(self) -> bool:
        """All answered, and nothing grew."""
        last = self.samples[-1]
        return (
            self.answered == self.published
            and last.rss_mb <= self.warm.rss_mb * (1 + ALLOWED_GROWTH)
            and last.threads <= self.warm.threads + ALLOWED_MORE_THREADS
            and last.open_files <= self.warm.open_files + ALLOWED_MORE_FILES
        )

    def line(self) -> str:
        """As the command prints it."""
        warm, last = self.warm, self.samples[-1]
        return (
            f"soak: minutes={last.seconds / 60:.1f} events={self.published} "
            f"answered={self.answered} rss_warm_mb={warm.rss_mb:.0f} "
            f"rss_last_mb={last.rss_mb:.0f} threads={warm.threads}->{last.threads} "
            f"open_files={warm.open_files}->{last.open_files} "
            f"lag_most={max(sample.lag for sample in self.samples)} "
            f"{'ok' if self.ok else 'GREW'}"
        )


async def soak(
    folder: Path, *, minutes: float, rate: float, real: bool, say: Callable[[str], None]
) -> Soak:
    """Publish ``rate`` events a second for so long, and sample the worker meanwhile."""
    qdrant = FakeQdrant(free_port(), slow_s=0, rng=random.Random(0))
    await qdrant.start()
    settings = {
        "QDRANT_URL": f"http://127.0.0.1:{qdrant.port}",
        "CHAOS_SCORER": "real" if real else "random",
    }
    async with aclosing(qdrant), single(folder, **settings) as one:
        one.worker.start()
        await asyncio.to_thread(one.worker.wait_ready, 60)
        async with counting(one.broker.address, one.topics.scored_face) as answers:
            published = Counter()
            publishing = asyncio.create_task(_publish(one, published, minutes * 60, rate))
            samples: list[Sample] = []
            started = time.monotonic()
            every = max(1.0, minutes * 60 / 400)
            while not publishing.done() or answers.count < published.count:
                seconds = time.monotonic() - started
                used = usage(one.worker.pid)
                if used is None or seconds > minutes * 60 + 120:
                    break
                lag = published.count - answers.count
                samples.append(
                    Sample(round(seconds, 1), used.rss_mb, used.threads, used.open_files, lag)
                )
                if len(samples) % 20 == 1:
                    say(
                        f"{seconds:6.0f} s  {used.rss_mb:.0f} MB, {used.threads} threads, lag {lag}"
                    )
                await asyncio.sleep(every)
            await publishing
    return Soak(tuple(samples), published.count, answers.count)


async def _publish(one: Single, published: Counter, seconds: float, rate: float) -> None:
    pictures = photographs()
    producer = AIOKafkaProducer(bootstrap_servers=one.broker.address, acks="all", linger_ms=5)
    await producer.start()
    try:
        started = time.monotonic()
        while (spent := time.monotonic() - started) < seconds:
            while published.count < spent * rate:
                headers = [("content-type", b"image/jpeg"), ("ce_id", str(uuid4()).encode())]
                await producer.send_and_wait(
                    one.topics.image_submitted,
                    pictures[published.count % len(pictures)],
                    key=f"user-{published.count % 97}".encode(),
                    headers=headers,
                )
                published.count += 1
            await asyncio.sleep(0.02)
    finally:
        await producer.stop()


def write(soaked: Soak, folder: Path) -> list[Path]:
    """The samples as CSV, and where matplotlib is installed as a plot."""
    table = folder / "soak.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(Sample.__slots__))
        writer.writeheader()
        writer.writerows(asdict(sample) for sample in soaked.samples)
    plot = _plot(soaked, folder / "soak.png")
    return [table, plot] if plot else [table]


def _plot(soaked: Soak, path: Path) -> Path | None:
    try:
        import matplotlib  # noqa: PLC0415 - an extra
    except ImportError:
        return None
    matplotlib.use("agg")
    from matplotlib import pyplot  # noqa: PLC0415 - after the choice of the backend

    minutes = [sample.seconds / 60 for sample in soaked.samples]
    figure, axes = pyplot.subplots(4, 1, sharex=True, figsize=(8, 9), layout="constrained")
    for axis, name, label in zip(
        axes,
        ("rss_mb", "threads", "open_files", "lag"),
        ("memory (RSS, MB)", "threads", "open files", "lag (events)"),
        strict=True,
    ):
        axis.plot(minutes, [getattr(sample, name) for sample in soaked.samples], linewidth=1)
        axis.set_ylabel(label)
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
    axes[-1].set_xlabel("minutes")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return path

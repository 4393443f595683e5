"""A long steady load, with samples of memory, threads, files and lag; see ``make soak``."""

from __future__ import annotations

import asyncio
import csv
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tools.chaos.clients import MessageCount, counting, producing, send_picture
from tools.chaos.load import photographs
from tools.chaos.processes import usage
from tools.chaos.single import Single, single

#: The share of the time that counts as warm-up; growth after it is a leak.
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

    def line(self) -> str:
        """Return the line that the command prints now and then."""
        return (
            f"{self.seconds:6.0f} s  {self.rss_mb:.0f} MB, {self.threads} threads, lag {self.lag}"
        )


@dataclass(frozen=True, slots=True)
class Soak:
    """The measurements of a soak run."""

    samples: Sequence[Sample]
    published: int
    answered: int

    @property
    def warm(self) -> Sample:
        """The sample at the end of the warm-up."""
        return self.samples[int(len(self.samples) * WARM_SHARE)]

    @property
    def ok(self) -> bool:
        """Whether every event was answered and no resource grew."""
        last = self.samples[-1]
        return (
            self.answered == self.published
            and last.rss_mb <= self.warm.rss_mb * (1 + ALLOWED_GROWTH)
            and last.threads <= self.warm.threads + ALLOWED_MORE_THREADS
            and last.open_files <= self.warm.open_files + ALLOWED_MORE_FILES
        )

    def line(self) -> str:
        """Return the last line that the command prints."""
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
    """Publish ``rate`` events per second for ``minutes``, and sample the worker."""
    samples: list[Sample] = []
    async with single(folder, CHAOS_SCORER="real" if real else "random") as one:
        one.worker.start()
        await asyncio.to_thread(one.worker.wait_ready, 60)
        published = MessageCount()
        publishing = asyncio.create_task(_publish(one, published, minutes * 60, rate))
        async with counting(one.broker.address, one.topics.scored_face) as answers:
            started = time.monotonic()
            while not publishing.done() or answers.count < published.count:
                seconds = time.monotonic() - started
                sample = _sample(one, seconds, published.count - answers.count)
                if sample is None or seconds > minutes * 60 + 120:
                    break
                samples.append(sample)
                if len(samples) % 20 == 1:
                    say(sample.line())
                await asyncio.sleep(max(1.0, minutes * 60 / 400))
            await publishing
    return Soak(tuple(samples), published.count, answers.count)


def _sample(one: Single, seconds: float, lag: int) -> Sample | None:
    """Sample the worker; None when it has ended."""
    used = usage(one.worker.pid)
    if used is None:
        return None
    return Sample(round(seconds, 1), used.rss_mb, used.threads, used.open_files, lag)


async def _publish(one: Single, published: MessageCount, seconds: float, rate: float) -> None:
    pictures = photographs()
    topic = one.topics.image_submitted
    async with producing(one.broker.address) as producer:
        started = time.monotonic()
        while (spent := time.monotonic() - started) < seconds:
            while published.count < spent * rate:
                picture = pictures[published.count % len(pictures)]
                await (await send_picture(producer, topic, published.count, picture))
                published.count += 1
            await asyncio.sleep(0.02)


def write(soaked: Soak, folder: Path) -> list[Path]:
    """Write the samples as CSV and, where matplotlib is installed, as a plot."""
    table = folder / "soak.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(Sample.__slots__))
        writer.writeheader()
        writer.writerows(asdict(sample) for sample in soaked.samples)
    plot = _plot(soaked, folder / "soak.png")
    return [table, plot] if plot else [table]


def _plot(soaked: Soak, path: Path) -> Path | None:
    try:
        import matplotlib  # noqa: PLC0415 - optional
    except ImportError:
        return None
    matplotlib.use("agg")
    from matplotlib import pyplot  # noqa: PLC0415 - after the backend is chosen

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

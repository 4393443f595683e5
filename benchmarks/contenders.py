"""Run each contender's whole job once on the same pictures; ``measuring.py`` repeats it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.facestream_worker import indexed, worker_on
from benchmarks.picture_sets import PictureSet
from benchmarks.process_usage import Watch
from benchmarks.topic_load import (
    AnswerReader,
    BenchBroker,
    NoProgress,
    TopicFiller,
    before_pause,
    bench_broker,
    first_of,
)
from streams.config.settings import pinned_settings
from streams.local.worker_process import WorkerProcess

ROOT = Path(__file__).parents[1]
WARM = 150
"""Answers before the measurement begins: caches are then warm and buffers have their size."""


@dataclass(frozen=True)
class Load:
    """A picture set, also written to ``folder``, and the number of events to measure."""

    set: PictureSet
    folder: Path
    events: int

    @property
    def warm(self) -> int:
        return min(WARM, max(1, self.events // 3))


@dataclass(frozen=True)
class Run:
    """One run of a contender. CPU covers all threads of its processes, user and system."""

    events: int
    seconds: float
    cpu_s: float
    faces_per_image: float
    rss_mb: float = 0.0
    answer_bytes: float = 0.0
    latencies_ms: tuple[float, ...] = ()

    @property
    def images_s(self) -> float:
        return self.events / self.seconds

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds per image."""
        return 1000 * self.cpu_s / self.events


Contender = Callable[[Load, Path], Awaitable[Run]]
"""Runs once, with a folder for its files."""


def bare(threads: int) -> Contender:
    """Run the pipeline in a loop, in its own process."""

    async def run(load: Load, _: Path) -> Run:
        return await asyncio.to_thread(bare_run, load, threads, load.events)

    return run


def bare_run(
    load: Load, threads: int, pictures: int, warm: int | None = None, how: Sequence[str] = ()
) -> Run:
    """Run ``benchmarks.bare`` with the options ``how``. Raises ``CalledProcessError``."""
    command = [sys.executable, "-m", "benchmarks.bare", str(load.folder)]
    command += ["--cache", str(pinned_settings().model_cache)]
    command += ["--threads", str(threads), "--max-faces", str(load.set.max_faces)]
    command += ["--pictures", str(pictures), "--warm", str(load.warm if warm is None else warm)]
    command += how
    ended = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)  # noqa: S603 - a fixed command
    found = json.loads(ended.stdout)
    return Run(
        events=found["events"],
        seconds=found["seconds"],
        cpu_s=found["cpu_s"],
        faces_per_image=found["faces"] / found["events"],
        latencies_ms=tuple(found["latencies_ms"]),
    )


def facestream(*, binary: bool) -> Contender:
    """Run the worker with default settings on a full topic."""

    async def run(load: Load, folder: Path) -> Run:
        async with bench_broker(folder) as bench:
            with worker_on(bench) as worker:
                return await consumed(
                    bench,
                    load,
                    binary=binary,
                    pids=[worker.pid],
                    check=lambda: raise_if_ended(worker),
                    finished=lambda faces: indexed(worker, faces),
                )

    return run


def raise_if_ended(worker: WorkerProcess) -> None:
    """Raise ``NoProgress`` if the worker has ended."""
    if worker.poll() is not None:
        raise NoProgress(f"the worker ended with status {worker.poll()}; see {worker.log_file}")


async def consumed(
    bench: BenchBroker,
    load: Load,
    *,
    binary: bool,
    pids: Sequence[int],
    check: Callable[[], None],
    finished: Callable[[int], Awaitable[None]] | None = None,
) -> Run:
    """Measure how the processes consume a topic full of events.

    First they warm up, until models, index and group are ready. Then the topic is filled at once.
    Answers count from the end of a burst on: time until the last answer, CPU until ``finished``
    returns, which waits until the given number of faces is in the index.
    """
    async with (
        TopicFiller(bench, load.set, binary=binary) as filler,
        AnswerReader(bench, check) as reader,
    ):
        await filler.publish(load.warm)
        faces = (await reader.until(load.warm)).faces
        if finished is not None:
            await finished(faces)
        with Watch(pids) as watch:
            await filler.publish(load.events)
            full = time.time()
            answers = await reader.until(load.warm + load.events)
            if finished is not None:
                await finished(answers.faces)
            done = time.time()
    if answers.simulated:
        raise NoProgress(f"{answers.simulated} events were not scored")
    moments = answers.moments()[load.warm :]
    first = before_pause(moments, first_of(moments, full))
    start, end = moments[first], moments[-1]
    events = len(moments) - first - 1
    return Run(
        events=events,
        seconds=end - start,
        # If there is no work after the answers, the time after them is idle.
        cpu_s=watch.cpu_between(start, done if finished else end),
        faces_per_image=answers.faces / len(answers.at),
        rss_mb=watch.rss_between(start, end),
        answer_bytes=answers.total_bytes / max(1, answers.faces),
    )

"""Compare two workers of one thread each with one, on the same cores. Binary mode."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import psutil

from benchmarks.contenders import Load, raise_if_ended
from benchmarks.facestream_worker import worker_on
from benchmarks.topic_load import (
    PARTITIONS,
    NoProgress,
    TopicFiller,
    answers_of,
    before_pause,
    bench_broker,
)
from streams.local.worker_process import WorkerProcess

READY_S = 60.0
COUNTED_SHARE = 0.9
"""Share of the answers that counts: near the end one of two workers may be idle."""


async def images_per_second(load: Load, workers: int, folder: Path, *, own_core: bool) -> float:
    """Measure the images per second of workers with one inference thread each.

    ``own_core`` ties each worker to its own core; otherwise the system places the threads. The
    topic is filled once each worker has its share of the partitions. Raises ``NoProgress``.
    """
    async with bench_broker(folder) as bench:
        with ExitStack() as stack:
            running = [
                stack.enter_context(worker_on(bench, f"worker-{number}", INFERENCE_THREADS="1"))
                for number in range(workers)
            ]
            if own_core:
                cores = psutil.Process().cpu_affinity()
                for number, worker in enumerate(running):
                    _tie(worker.pid, cores[number % len(cores)])
            await asyncio.to_thread(_until_shared, running, len(bench.topics.all()) * PARTITIONS)

            def check() -> None:
                for worker in running:
                    raise_if_ended(worker)

            events = load.warm + load.events
            async with TopicFiller(bench, load.set, binary=True) as filler:
                await filler.publish(events)
            moments = (await answers_of(bench, events, check)).moments()
    first = before_pause(moments, load.warm)
    last = before_pause(moments, int(COUNTED_SHARE * events))
    return (last - first) / (moments[last] - moments[first])


def _tie(pid: int, core: int) -> None:
    for thread in psutil.Process(pid).threads():
        psutil.Process(thread.id).cpu_affinity([core])


def _until_shared(workers: Sequence[WorkerProcess], partitions: int) -> None:
    until = time.monotonic() + READY_S
    for worker in workers:
        worker.wait_ready(READY_S)
    while [_partitions(worker) for worker in workers] != [partitions // len(workers)] * len(
        workers
    ):
        if time.monotonic() > until:
            raise NoProgress(f"partitions were not shared evenly in {READY_S:.0f} s")
        time.sleep(0.05)


def _partitions(worker: WorkerProcess) -> int:
    status, health = worker.get("/health/ready")
    return int(health["partitions"]) if status == 200 else -1

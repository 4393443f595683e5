"""Start the real worker on a benchmark's broker."""

from __future__ import annotations

import asyncio
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.topic_load import BenchBroker, NoProgress
from streams.local.embedded_broker import free_port
from streams.local.worker_process import WorkerProcess

INDEXED_WITHIN_S = 60.0


@contextmanager
def worker_on(
    bench: BenchBroker,
    name: str = "worker",
    *,
    app: str = "streams.app",
    verbose: bool = False,
    **settings: str,
) -> Iterator[WorkerProcess]:
    """Create a worker with default settings and its own embedded index.

    It logs warnings only, unless it is ``verbose``.
    """
    environment = bench.environment | {"QDRANT_PATH": str(bench.folder / f"index-{name}")}
    environment["LOG_LEVEL"] = "info" if verbose else "warning"
    worker = WorkerProcess(
        environment | settings,
        port=free_port(),
        log_file=bench.folder / f"{name}.log",
        faust_log_level="info" if verbose else "warn",
        app=app,
    )
    with worker:
        yield worker


async def indexed(worker: WorkerProcess, faces: int) -> None:
    """Wait until the worker has indexed a number of faces. Raises ``NoProgress``."""
    until = time.monotonic() + INDEXED_WITHIN_S
    while await asyncio.to_thread(faces_indexed, worker) < faces:
        if time.monotonic() > until:
            raise NoProgress(f"not all of {faces} faces were indexed in {INDEXED_WITHIN_S:.0f} s")
        await asyncio.sleep(0.05)


def faces_indexed(worker: WorkerProcess) -> int:
    """Return the worker's own count."""
    with urllib.request.urlopen(f"{worker.url}/metrics", timeout=10) as page:  # noqa: S310 - our own http URL
        families = text_string_to_metric_families(page.read().decode())
    wanted = {"operation": "index", "outcome": "success"}
    return int(
        sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == "facestream_operations_total" and sample.labels == wanted
        )
    )

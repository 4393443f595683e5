"""The real worker on a benchmark's broker."""

from __future__ import annotations

import asyncio
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.topic_load import Ground, Stuck
from streams.local.embedded_broker import free_port
from streams.local.worker_process import WorkerProcess

INDEXED_WITHIN_S = 60.0


@contextmanager
def worker_on(
    place: Ground,
    name: str = "worker",
    *,
    app: str = "streams.app",
    talks: bool = False,
    **settings: str,
) -> Iterator[WorkerProcess]:
    """A worker as it ships; of several on one broker each has its own embedded index.

    Its log has warnings alone, unless it `talks`.
    """
    environment = place.environment | {"QDRANT_PATH": str(place.folder / f"index-{name}")}
    environment["LOG_LEVEL"] = "info" if talks else "warning"
    worker = WorkerProcess(
        environment | settings,
        port=free_port(),
        log_file=place.folder / f"{name}.log",
        faust_log_level="info" if talks else "warn",
        app=app,
    )
    with worker:
        yield worker


async def indexed(worker: WorkerProcess, faces: int) -> None:
    """Return when the worker has written so many faces to its index. Raises Stuck."""
    until = time.monotonic() + INDEXED_WITHIN_S
    while await asyncio.to_thread(faces_indexed, worker) < faces:
        if time.monotonic() > until:
            raise Stuck(f"not all of {faces} faces were indexed in {INDEXED_WITHIN_S:.0f} s")
        await asyncio.sleep(0.05)


def faces_indexed(worker: WorkerProcess) -> int:
    """By the worker's own count."""
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

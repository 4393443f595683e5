"""Measure the time from the start of the worker's process to loaded models, graphs cached."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import datetime
from pathlib import Path

from benchmarks.facestream_worker import worker_on
from benchmarks.topic_load import NoProgress, bench_broker

WITHIN_S = 60.0
WARM_LINE = "models are warm"


async def start_ms(folder: Path, repeats: int) -> list[float]:
    """Return the milliseconds of each start. Raises ``NoProgress``."""
    found = []
    async with bench_broker(folder) as bench:
        for number in range(repeats + 1):
            name = f"start-{number}"
            started = time.time()
            with worker_on(bench, name, verbose=True) as worker:
                warm = await _logged(bench.folder / f"{name}.log")
                worker.kill()
            found.append(1000 * (warm - started))
    return found[1:]  # the first start may prepare the graphs, and fills the page cache


async def _logged(log: Path) -> float:
    """Return the time of the log line, in seconds since the epoch by the worker's clock."""
    until = time.monotonic() + WITHIN_S
    while time.monotonic() < until:
        for line in log.read_text().splitlines() if log.exists() else ():
            if WARM_LINE in line:
                return datetime.fromisoformat(json.loads(line)["timestamp"]).timestamp()
        await asyncio.sleep(0.02)
    raise NoProgress(f"{log}: the models were not warm in {WITHIN_S:.0f} s")

"""From the start of the worker's process until its models are warm, prepared graphs cached."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import datetime
from pathlib import Path

from benchmarks.facestream_worker import worker_on
from benchmarks.topic_load import Stuck, ground

WITHIN_S = 60.0
WARM_LINE = "models are warm"


async def start_ms(folder: Path, repeats: int) -> list[float]:
    """Milliseconds of each start. Raises Stuck."""
    found = []
    async with ground(folder) as place:
        for number in range(repeats + 1):
            name = f"start-{number}"
            started = time.time()
            with worker_on(place, name, talks=True) as worker:
                warm = await _logged(place.folder / f"{name}.log")
                worker.kill()
            found.append(1000 * (warm - started))
    return found[1:]  # the first may have prepared the graphs, and fills the page cache


async def _logged(log: Path) -> float:
    """When the worker said so, by its own clock: seconds since the epoch."""
    until = time.monotonic() + WITHIN_S
    while time.monotonic() < until:
        for line in log.read_text().splitlines() if log.exists() else ():
            if WARM_LINE in line:
                return datetime.fromisoformat(json.loads(line)["timestamp"]).timestamp()
        await asyncio.sleep(0.02)
    raise Stuck(f"{log}: the models were not warm in {WITHIN_S:.0f} s")

"""Measure whether an event costs more with a long backlog or a full index.

A stub replaces the models (``stub_app.py``), whose cost depends on neither and would hide a
difference. Binary mode, small pictures, embedded index.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np

from benchmarks.contenders import WARM, raise_if_ended
from benchmarks.facestream_worker import indexed, worker_on
from benchmarks.picture_sets import PictureSet
from benchmarks.process_usage import Watch
from benchmarks.topic_load import (
    LONGER_THAN_A_BURST,
    BenchBroker,
    NoProgress,
    TopicFiller,
    answers_of,
    before_pause,
    bench_broker,
    first_of,
)
from models.manifest import describe
from schemas.scored_face import face_id_of
from streams.config.settings import pinned_settings
from streams.index.index_config import index_config
from streams.index.model_contract import ModelContract, contract_of
from streams.index.points import FacePoint
from streams.index.vector_index import VectorIndex
from streams.local.worker_process import WorkerProcess

MEASURED = 850
"""Measured events; with those of the warm-up, the shorter backlog is 1,000."""

PICTURE_BYTES = 4096
USERS = 1000
POINTS_A_BATCH = 1000
OPEN_WITHIN_S = 180.0


def small_pictures() -> PictureSet:
    """Return bytes that only the stub accepts as pictures."""
    rng = random.Random(5)  # noqa: S311 - a load
    pictures = tuple(rng.randbytes(PICTURE_BYTES) for _ in range(101))
    return PictureSet("small", "4 kB for a stub of the models", pictures, 1)


async def cpu_ms_behind(backlog: int, folder: Path) -> float:
    """Return the CPU milliseconds per event of the first 1,000 of a backlog."""
    async with bench_broker(folder) as bench:
        async with TopicFiller(bench, small_pictures(), binary=True) as filler:
            await filler.publish(backlog)
        with worker_on(bench, app="benchmarks.stub_app") as worker, Watch([worker.pid]) as watch:
            # The group takes seconds to form; the index is open by then.
            opening = asyncio.create_task(asyncio.to_thread(_until_open, worker))
            answers = await answers_of(bench, WARM + MEASURED, lambda: raise_if_ended(worker))
            opened = await opening
            # Later work of the worker is not counted, so it need not finish.
            worker.kill()
    moments = answers.moments()[: WARM + MEASURED]
    first = before_pause(moments, max(WARM, first_of(moments, opened)))
    last = before_pause(moments, len(moments) - LONGER_THAN_A_BURST)
    return 1000 * watch.cpu_between(moments[first], moments[last]) / (last - first)


class GrowingIndexes:
    """Workers with indexes of different sizes, measured in turn.

    Each measurement adds its 1,000 faces, so the small index grows to some thousands.
    """

    def __init__(self, folder: Path, sizes: Sequence[int]) -> None:
        self._folder = folder
        self._sizes = sizes
        self._stack = AsyncExitStack()
        self._running: dict[int, tuple[BenchBroker, WorkerProcess]] = {}
        self._answered: dict[int, int] = dict.fromkeys(sizes, 0)

    async def __aenter__(self) -> GrowingIndexes:
        for size in self._sizes:
            bench = await self._stack.enter_async_context(bench_broker(self._folder / str(size)))
            await filled_index(size, bench.folder / "index-worker")
            worker = self._stack.enter_context(worker_on(bench, app="benchmarks.stub_app"))
            await asyncio.to_thread(_until_open, worker)
            self._running[size] = bench, worker
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def cpu_ms(self, size: int) -> float:
        """Return the CPU milliseconds per event indexed. Raises ``NoProgress``."""
        bench, worker = self._running[size]
        before, self._answered[size] = self._answered[size], self._answered[size] + WARM + MEASURED
        with Watch([worker.pid]) as watch:
            async with TopicFiller(bench, small_pictures(), binary=True) as filler:
                await filler.publish(WARM + MEASURED)
            answers = await answers_of(bench, self._answered[size], lambda: raise_if_ended(worker))
            await indexed(worker, answers.faces)
            done = time.time()
        moments = answers.moments()[before:]
        first = before_pause(moments, WARM)
        return 1000 * watch.cpu_between(moments[first], done) / (len(moments) - first - 1)


def _until_open(worker: WorkerProcess) -> float:
    """Wait until the index is open, and return the time in seconds since the epoch."""
    worker.wait_ready(OPEN_WITHIN_S)
    until = time.monotonic() + OPEN_WITHIN_S
    while not (worker.get("/health/ready")[1] or {}).get("index"):
        if time.monotonic() > until:
            raise NoProgress(f"the index was not open in {OPEN_WITHIN_S:.0f} s")
        time.sleep(0.1)
    return time.time()


async def filled_index(points: int, folder: Path) -> None:
    """Create an embedded index with a number of faces of the default models."""
    detector, embedder = describe("yunet"), describe("sface")
    contract = contract_of(detector, embedder)
    settings = pinned_settings(qdrant_path=folder)
    index = await VectorIndex.open(index_config(settings, contract))
    rng = np.random.default_rng(3)
    for first in range(0, points, POINTS_A_BATCH):
        batch = min(POINTS_A_BATCH, points - first)
        vectors = rng.standard_normal((batch, embedder.dimension)).tolist()
        await index.apply(
            [_point(uuid4(), vector, contract, first + at) for at, vector in enumerate(vectors)]
        )
    await index.close()


def _point(event: UUID, vector: list[float], contract: ModelContract, number: int) -> FacePoint:
    return FacePoint(
        face_id=str(face_id_of(event, 0)),
        event_id=str(event),
        user_id=f"user-{number % USERS}",
        face_index=0,
        face_count=1,
        vector=vector,
        contract=contract,
        payload={"quality": 0.5, "confidence": 0.5, "formula_version": contract.formula_version},
    )

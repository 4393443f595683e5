"""A pipeline with the real models that shows what the pool does with it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from models.errors import ModelsError
from models.pipeline import FacePipeline, ScoredImage
from models.session import Cancellation
from streams.inference.pool import InferencePool

#: A picture whose score never ends.
ENDLESS = b"endless"


@dataclass(frozen=True)
class WatchedPipeline(FacePipeline):
    """The real pipeline; records when a score begins and how each one ended.

    The picture ``ENDLESS`` occupies its thread until the attempt is cancelled.
    """

    begun: threading.Event = field(default_factory=threading.Event)
    ended: list[str] = field(default_factory=list)

    def score(
        self,
        image: bytes,
        *,
        min_confidence: float,
        max_faces: int,
        cancellation: Cancellation | None = None,
    ) -> ScoredImage:
        self.begun.set()
        while image == ENDLESS:
            assert cancellation is not None
            cancellation.raise_if_cancelled()
            threading.Event().wait(0.005)
        try:
            scored = super().score(
                image,
                min_confidence=min_confidence,
                max_faces=max_faces,
                cancellation=cancellation,
            )
        except ModelsError as error:
            self.ended.append(type(error).__name__)
            raise
        self.ended.append("scored")
        return scored

    def warm_up(self) -> None:
        """Do nothing: the session's models are warm."""


@asynccontextmanager
async def pool_of(
    watched: FacePipeline, *, threads: int = 1, timeout_s: float = 60.0
) -> AsyncIterator[InferencePool]:
    """Run a pool with these models."""
    pool = InferencePool(lambda: watched, threads=threads, timeout_s=timeout_s)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.stop()


async def score(pool: InferencePool, image: bytes, max_faces: int = 1) -> ScoredImage:
    """Score a picture without a bound on its wait."""
    return await pool.score(image, min_confidence=0.5, max_faces=max_faces)


async def until(condition: Callable[[], Any]) -> None:
    """Wait for a condition, for ten seconds at most."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)

"""The app with models that fail after their warm-up, for the tests of health: the detector finds
nothing, the embedder never answers. ``-A tests.blind_app``."""

from __future__ import annotations

import asyncio
from typing import Any

from models.pipeline import DetectedFaces
from streams.app import app

__all__ = ["app"]


async def _nothing(*_: Any, **__: Any) -> DetectedFaces:
    return DetectedFaces((), 1, 1)


async def _never(*_: Any, **__: Any) -> None:
    await asyncio.Event().wait()


app.runtime.pool.detect = _nothing  # type: ignore[method-assign]
app.runtime.pool.embed_aligned = _never  # type: ignore[method-assign, assignment]

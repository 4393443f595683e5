"""The app with models that fail after their warm-up: ``-A tests.blind_app``.

The detector finds no face, and the embedder never returns.
"""

from __future__ import annotations

import asyncio

from models.pipeline import DetectedFaces
from streams.app import app

__all__ = ["app"]


async def _no_face(*_: object, **__: object) -> DetectedFaces:
    return DetectedFaces((), 1, 1)


async def _never(*_: object, **__: object) -> None:
    await asyncio.Event().wait()


app.runtime.pool.detect = _no_face  # type: ignore[method-assign]
app.runtime.pool.embed_aligned = _never  # type: ignore[method-assign, assignment]

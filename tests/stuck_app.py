"""The app with a scorer that never returns: ``-A tests.stuck_app``."""

from __future__ import annotations

import asyncio

from streams.app import app

__all__ = ["app"]


async def _never(*_: object, **__: object) -> None:
    await asyncio.Event().wait()


app.runtime.pool.score = _never  # type: ignore[method-assign, assignment]

"""The app with a scorer that never answers, for the tests of health: ``-A tests.stuck_app``."""

from __future__ import annotations

import asyncio
from typing import Any

from streams.app import app

__all__ = ["app"]


async def _never(*_: Any, **__: Any) -> None:
    await asyncio.Event().wait()


app.runtime.pool.score = _never  # type: ignore[method-assign, assignment]

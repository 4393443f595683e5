"""The app with a bug that stops the worker, and a stop that hangs: ``-A tests.crashing_app``."""

from __future__ import annotations

import asyncio
from typing import Any

from streams.app import app

__all__ = ["app"]


async def fail(*_: Any) -> None:
    """What nobody expects of publishing."""
    raise RuntimeError("a bug in publishing")


async def hang() -> None:
    """As Faust's own stop does after some crashes."""
    await asyncio.Event().wait()


app.runtime.publisher.publish = fail  # type: ignore[method-assign,assignment]
app.runtime.answers.close = hang  # type: ignore[method-assign]

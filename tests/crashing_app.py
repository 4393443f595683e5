"""The app with a bug in publishing, and a stop that hangs: ``-A tests.crashing_app``."""

from __future__ import annotations

import asyncio

from streams.app import app

__all__ = ["app"]


async def fail(*_: object) -> None:
    """Raise an unexpected error."""
    raise RuntimeError("a bug in publishing")


async def hang() -> None:
    """Never return, as Faust's own stop does after some crashes."""
    await asyncio.Event().wait()


app.runtime.publisher.publish = fail  # type: ignore[method-assign,assignment]
app.runtime.answers.close = hang  # type: ignore[method-assign]

"""Windows for tests, with a handler whose events the test finishes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

from streams.engine.in_flight import InFlightWindow
from streams.messages import Incoming
from tests.fakes import FakeEngine, FakeEvent


class Work:
    """A handler that finishes each event when the test says so."""

    def __init__(self) -> None:
        self.started: list[tuple[int, int]] = []
        self._gates: dict[tuple[int, int], asyncio.Future[None]] = {}

    async def __call__(self, incoming: Incoming) -> None:
        position = (incoming.partition, incoming.offset)
        self.started.append(position)
        await self.gate(*position)

    def gate(self, partition: int, offset: int) -> asyncio.Future[None]:
        """Return the future that the handler of an event awaits."""
        return self._gates.setdefault(
            (partition, offset), asyncio.get_running_loop().create_future()
        )

    def finish(self, partition: int, offset: int) -> None:
        """Let the handler of an event return."""
        self.gate(partition, offset).set_result(None)

    def fail(self, partition: int, offset: int, error: Exception) -> None:
        """Let the handler of an event raise."""
        self.gate(partition, offset).set_exception(error)


def window_of(engine: FakeEngine, work: Any, **bounds: Any) -> InFlightWindow:
    """Make a window that no bound limits unless the test gives one."""
    defaults = {
        "concurrency": 100,
        "max_events": 100,
        "max_bytes": 10**9,
        "drain_timeout_s": 60.0,
    }
    return InFlightWindow(engine, "events", work, **{**defaults, **bounds})


async def feed(window: InFlightWindow, events: Iterable[FakeEvent]) -> None:
    """Deliver events to a window and start all that it allows."""

    async def stream() -> AsyncIterator[FakeEvent]:
        for event in events:
            yield event

    await window.feed(stream())
    await settle()


async def settle(turns: int = 10) -> None:
    """Run every task that can run; a task that starts when another ends needs more turns."""
    for _ in range(turns):
        await asyncio.sleep(0)


def offsets(engine: FakeEngine, partition: int = 0) -> list[int]:
    """Return a partition's acknowledged offsets in order."""
    return [offset for tp, offset in engine.acked if tp.partition == partition]

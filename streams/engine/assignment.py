"""The worker's share of the partitions: when events may start, and when they must be left.

One ``Assignment`` holds the in-flight windows of all topics and tells them of each rebalance and
stop, so that they drain and start together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from streams.engine.in_flight import InFlightWindow
from streams.engine.interface import Engine
from streams.messages import Incoming


class Assignment:
    """The windows of one worker, and whether it is leaving its partitions."""

    def __init__(self, engine: Engine, on_rebalance: Callable[[], None] = lambda: None) -> None:
        """``on_rebalance`` is called for each assignment that arrives."""
        self.windows: list[InFlightWindow] = []
        self.partitions = 0
        self.arrived = asyncio.Event()
        """Set once this worker was given its partitions, which may be none."""
        self._engine = engine
        self._on_rebalance = on_rebalance
        self._draining = False

    def window(
        self,
        topic: str,
        handle: Callable[[Incoming], Awaitable[None]],
        *,
        concurrency: int,
        max_events: int,
        max_bytes: int,
        drain_timeout_s: float,
    ) -> InFlightWindow:
        """Add a window for one topic."""
        window = InFlightWindow(
            self._engine,
            topic,
            handle,
            concurrency=concurrency,
            max_events=max_events,
            max_bytes=max_bytes,
            drain_timeout_s=drain_timeout_s,
        )
        self.windows.append(window)
        return window

    def is_leaving(self) -> bool:
        """Whether work should be left for the partitions' next owners.

        Faust's ``rebalancing`` cannot be used: it stays true for a while after a new assignment.
        """
        return self._draining or self._engine.stopping

    def note_waiting(self) -> None:
        """Count a retry as progress in every window."""
        for window in self.windows:
            window.note_waiting()

    def begin_drain(self) -> None:
        """Begin to drain every window, at the start of a rebalance or stop."""
        self._draining = True
        for window in self.windows:
            window.begin_drain()

    def begin_generation(self, partitions: int) -> None:
        """Begin a generation: a new assignment of ``partitions`` partitions has arrived.

        Events of earlier ones are dropped. New ones are admitted after ``admit``.
        """
        self._draining = True
        self.partitions = partitions
        self._on_rebalance()
        self.arrived.set()
        for window in self.windows:
            window.begin_generation()
            window.begin_drain()

    def admit(self) -> None:
        """Admit events, now that reading starts at the committed offsets."""
        self._draining = False
        for window in self.windows:
            window.begin_generation()

"""Does the worker get on? What liveness and readiness are told, from samples taken all the time.

A worker is stalled when there is something to do (events held, or records in the topic that it has
not fetched) and nothing of that topic was finished for ``STALLED_AFTER_S``. Waiting for something
that is away and being tried again (the index, the broker, a picture store) is not a stall, nor is
an attempt at scoring that will be made again: a restart would not help, and would begin the
event's attempts anew.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import structlog
from aiokafka.errors import KafkaError

from streams.engine.in_flight import InFlightWindow

log = structlog.get_logger(__name__)

#: Shares of ``STALLED_AFTER_S``: how often is looked, and how long one look may take.
SAMPLES = 6
LONGEST_LOOK_S = 10.0


class ProgressWatch:
    """Samples lag and progress of every window; see the module's text."""

    def __init__(self, app: Any, windows: Sequence[InFlightWindow], stalled_after_s: float) -> None:
        self._app = app
        self._windows = windows
        self._stalled_after_s = stalled_after_s
        self.broker_answers = False
        self.lag: dict[str, int] = {}
        self._behind_since: dict[str, float] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._look()
            await asyncio.sleep(self._stalled_after_s / SAMPLES)

    def stalled(self) -> dict[str, str]:
        """The topics in which nothing moves though there is work, with the facts of each."""
        now = time.monotonic()
        found = {}
        for window in self._windows:
            since = self._idle_since(window)
            if since is not None and now - since > self._stalled_after_s:
                found[window.topic] = (
                    f"nothing finished for {now - since:.0f} s: {window.state.held} events held, "
                    f"{self.lag.get(window.topic, 0)} behind"
                )
        return found

    def _idle_since(self, window: InFlightWindow) -> float | None:
        """Since when a window has work and finishes none; None when it has none."""
        behind = self._behind_since.get(window.topic)
        if window.state.held:
            return max(window.state.last_progress, window.state.busy_since)
        if behind is not None:
            return max(window.state.last_progress, behind)
        return None

    async def _look(self) -> None:
        try:
            async with asyncio.timeout(LONGEST_LOOK_S):
                for window in self._windows:
                    await self._look_at(window)
        except (KafkaError, OSError, TimeoutError) as error:
            if self.broker_answers:
                reason = str(error) or type(error).__name__
                log.warning("the broker does not answer", reason=reason)
            self.broker_answers = False
            # Behind what, nobody can say now; that is the broker's outage, not a stall.
            self._behind_since.clear()
        else:
            self.broker_answers = True

    async def _look_at(self, window: InFlightWindow) -> None:
        consumer = self._app.consumer
        partitions = [tp for tp in consumer.assignment() if tp.topic == window.topic]
        lag = window.state.held
        if partitions and not self._app.rebalancing:
            ends = await consumer.highwaters(*partitions)
            for tp in partitions:
                position = await consumer.position(tp)
                lag += max(0, (ends.get(tp) or 0) - (position or 0))
        self.lag[window.topic] = lag
        if lag > window.state.held:
            self._behind_since.setdefault(window.topic, time.monotonic())
        else:
            self._behind_since.pop(window.topic, None)

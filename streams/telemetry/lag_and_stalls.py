"""Is the worker making progress? Lag and stalls, sampled for health pages and metrics.

A topic is stalled when it has work (events held, or records not fetched yet) and finished nothing
for ``STALLED_AFTER_S``. Waiting for an unavailable dependency (index, broker, picture store) or for
the next attempt at an inference is not a stall: a restart would not help, and the event's attempts
would start again from the first.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import structlog
from aiokafka.errors import KafkaError

from streams.engine.in_flight import InFlightWindow
from streams.engine.interface import Engine

log = structlog.get_logger(__name__)

#: Samples in each ``STALLED_AFTER_S``.
SAMPLES = 6
SAMPLE_TIMEOUT_S = 10.0


class ProgressMonitor:
    """Samples lag and progress of every window."""

    def __init__(
        self, engine: Engine, windows: Sequence[InFlightWindow], stalled_after_s: float
    ) -> None:
        self._engine = engine
        self._windows = windows
        self._stalled_after_s = stalled_after_s
        self.broker_answers = False
        """Whether the broker answered the last sample."""
        self.lag: dict[str, int] = {}
        """By topic: messages of this worker's partitions that are not acknowledged yet."""
        self._behind_since: dict[str, float] = {}

    async def run(self) -> None:
        """Take samples until cancelled."""
        while True:
            await self._sample()
            await asyncio.sleep(self._stalled_after_s / SAMPLES)

    def stalled(self) -> dict[str, str]:
        """Return the stalled topics, each with the facts."""
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
        """Return when a window with work last finished an event; None without work."""
        behind = self._behind_since.get(window.topic)
        if window.state.held:
            return max(window.state.last_progress, window.state.busy_since)
        if behind is not None:
            return max(window.state.last_progress, behind)
        return None

    async def _sample(self) -> None:
        try:
            async with asyncio.timeout(SAMPLE_TIMEOUT_S):
                for window in self._windows:
                    await self._sample_window(window)
        except (KafkaError, OSError, TimeoutError) as error:
            if self.broker_answers:
                reason = str(error) or type(error).__name__
                log.warning("the broker does not answer", reason=reason)
            self.broker_answers = False
            # The lag is unknown now. The broker's outage is not a stall of this worker.
            self._behind_since.clear()
        else:
            self.broker_answers = True

    async def _sample_window(self, window: InFlightWindow) -> None:
        behind = await self._engine.lag(window.topic)
        self.lag[window.topic] = window.state.held + behind
        if behind:
            self._behind_since.setdefault(window.topic, time.monotonic())
        else:
            self._behind_since.pop(window.topic, None)

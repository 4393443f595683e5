"""The handling of one event: its stage times, attempts, outcome and log fields in one object.

Code that works on an event tells this object what happened. Metrics take the stage times, retries
and outcomes from it, log lines its fields; a trace can later take its span from it too.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import structlog

from schemas.fallback import FallbackReason
from streams.messages import Incoming
from streams.telemetry.metrics import Metrics, Operation, Outcome, Stage, Tried

log = structlog.get_logger(__name__)

#: Reasons for which many events fall back together: a setting, or an open circuit. They would
#: write one log line per event, so those lines are debug lines. Counters and headers hold the same
#: facts.
BULK_REASONS = frozenset(
    {
        FallbackReason.REAL_ML_DISABLED,
        FallbackReason.ROLLED_OUT_TO_SIMULATED,
        FallbackReason.CIRCUIT_OPEN,
    }
)


class Handling:
    """The record of one event's handling so far."""

    def __init__(self, incoming: Incoming, metrics: Metrics) -> None:
        self.attempts = 0
        """Attempts at the current step; 0 before the first."""
        self.fields: dict[str, object] = {
            "partition": incoming.partition,
            "offset": incoming.offset,
        }
        """The fields of every log line about the event."""
        self.stages: dict[str, float] = {}
        """Seconds spent in each stage."""
        self.outcomes: dict[Operation, Outcome] = {}
        """The outcome of each operation on the event."""
        self.reason: FallbackReason | None = None
        """The reason why the event fell back; None if it did not."""
        self._published_at = incoming.timestamp
        self._metrics = metrics

    def identify(self, event_id: object, user_id: str) -> None:
        """Add the event's identity to the log fields."""
        self.fields |= {"event_id": str(event_id), "user_id": user_id}

    def record_stage(self, stage: Stage, seconds: float) -> None:
        """Record the time spent in a stage."""
        self.stages[stage] = seconds
        self._metrics.stage(stage, seconds)

    def record_stages_ms(self, milliseconds: Mapping[str, float]) -> None:
        """Record the stages of a scored picture by name, in milliseconds."""
        self.stages |= {stage: spent / 1000 for stage, spent in milliseconds.items()}
        self._metrics.stages_ms(milliseconds)

    @contextmanager
    def timed(self, stage: Stage) -> Iterator[None]:
        """Measure a stage; a stage that fails is not counted."""
        started = time.perf_counter()
        yield
        self.record_stage(stage, time.perf_counter() - started)

    def record_queued(self) -> None:
        """Record the stage ``queued``, if the producer set a timestamp."""
        self._since_published("queued")

    def record_total(self) -> None:
        """Record the stage ``total``: the broker has the answer."""
        self._since_published("total")

    def _since_published(self, stage: Stage) -> None:
        if self._published_at:
            self.record_stage(stage, time.time() - self._published_at)

    def milliseconds(self, stage: Stage) -> float | None:
        """Return the time of a stage; None if the event did not pass it."""
        seconds = self.stages.get(stage)
        return None if seconds is None else seconds * 1000

    def retry(self, tried: Tried) -> None:
        """Count an attempt that is made again."""
        self._metrics.retry(tried)

    def timeout(self, tried: Tried) -> None:
        """Count an attempt that took too long."""
        self._metrics.timeout(tried)

    def finish(self, operation: Operation, outcome: Outcome) -> None:
        """Record how an operation on the event ended."""
        self.outcomes[operation] = outcome
        self._metrics.operation(operation, outcome)

    def fall_back(self, reason: FallbackReason, detail: str) -> None:
        """Record, count and log that the event goes to the fallback topic."""
        write = log.debug if reason in BULK_REASONS else log.info
        write("event falls back", reason=reason.value, detail=detail, **self.fields)
        self.record_fallback(reason)

    def record_fallback(self, reason: FallbackReason) -> None:
        """Record and count that the event goes to the fallback topic."""
        self.reason = reason
        self._metrics.fallback(reason)

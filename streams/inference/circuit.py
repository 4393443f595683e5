"""The circuit breaker: opens when too small a share of the recent attempts succeeded.

Only attempts that tell whether the models work are recorded: those that scored, and those that
failed or took too long. While the circuit is open only a probe with a built-in picture is scored,
so that no user's event is used to find out whether the models work again.

No library is used: the maintained asyncio libraries count consecutive failures, and all of them use
live calls as probes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from enum import StrEnum

import structlog

from streams.errors import StreamsError

log = structlog.get_logger(__name__)

#: Recent attempts that the share of successes is computed from.
WINDOW = 100
#: With fewer recent attempts the circuit stays closed.
MINIMUM = 20


class CircuitState(StrEnum):
    """Closed: events are scored. Open: they are not. Half-open: not yet; a probe runs."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class CircuitOpen(StreamsError):
    """Too many recent attempts at scoring failed, so no event is scored for now."""

    def __init__(self, share: float, threshold: float) -> None:
        super().__init__(
            f"{share:.0%} of the recent attempts succeeded, less than "
            f"SIMULATED_ML_THRESHOLD={threshold:g}; the circuit is open until a probe succeeds"
        )


class Circuit:
    """The state machine, without a clock or tasks; ``CircuitProbe`` has those.

    It opens when a share below ``threshold`` (0..1) of the last ``window`` attempts succeeded, once
    there are ``minimum`` of them. A threshold of 0 never opens it.
    """

    def __init__(
        self,
        *,
        threshold: float,
        window: int = WINDOW,
        minimum: int = MINIMUM,
        on_change: Callable[[CircuitState], None] = lambda state: None,
    ) -> None:
        if not 1 <= minimum <= window:
            raise ValueError(f"minimum must be in 1..{window}, not {minimum}")
        self.state = CircuitState.CLOSED
        self.opened = asyncio.Event()
        self._threshold = threshold
        self._minimum = minimum
        self._on_change = on_change
        self._recent: deque[bool] = deque(maxlen=window)
        self._epoch = 0

    @property
    def is_closed(self) -> bool:
        """Whether events may be scored for real."""
        return self.state is CircuitState.CLOSED

    @property
    def success_share(self) -> float:
        """The share of the recorded attempts that succeeded; 1 without attempts.

        While the circuit is open: the share that opened it.
        """
        return sum(self._recent) / len(self._recent) if self._recent else 1.0

    def begin(self) -> int:
        """Return the mark of an attempt that begins now, for ``record``."""
        return self._epoch

    def record(self, mark: int, *, succeeded: bool) -> None:
        """Record an attempt, unless it began before the circuit last changed."""
        if mark != self._epoch or not self.is_closed:
            return
        self._recent.append(succeeded)
        if len(self._recent) >= self._minimum and self.success_share < self._threshold:
            self._become(CircuitState.OPEN)

    def refusal(self) -> CircuitOpen | None:
        """Return why no event is scored now, or None when the circuit is closed."""
        return None if self.is_closed else CircuitOpen(self.success_share, self._threshold)

    def begin_probe(self) -> None:
        """Change from open to half-open; any other state stays."""
        if self.state is CircuitState.OPEN:
            self._become(CircuitState.HALF_OPEN)

    def end_probe(self, *, succeeded: bool) -> None:
        """Change from half-open to closed, with no attempts recorded, or back to open."""
        if self.state is not CircuitState.HALF_OPEN:
            return
        if succeeded:
            self._recent.clear()
        self._become(CircuitState.CLOSED if succeeded else CircuitState.OPEN)

    def _become(self, state: CircuitState) -> None:
        self.state = state
        self._epoch += 1
        if state is CircuitState.OPEN:
            self.opened.set()
        elif state is CircuitState.CLOSED:
            self.opened.clear()
        self._on_change(state)


class CircuitProbe:
    """Closes an open circuit: tries a built-in picture until it is scored."""

    def __init__(
        self, circuit: Circuit, probe: Callable[[], Awaitable[None]], *, interval_s: float
    ) -> None:
        """``probe`` raises when the models fail."""
        self._circuit = circuit
        self._probe = probe
        self._interval_s = interval_s

    async def run(self) -> None:
        """Probe whenever the circuit is open, until cancelled."""
        while True:
            await self._circuit.opened.wait()
            log.error(
                "circuit opened: events fall back to simulated scores",
                share=round(self._circuit.success_share, 3),
                next_probe_s=self._interval_s,
            )
            while not self._circuit.is_closed:
                await asyncio.sleep(self._interval_s)
                await self._try()
            log.warning("circuit closed: events are scored for real again")

    async def _try(self) -> None:
        self._circuit.begin_probe()
        try:
            await self._probe()
        except Exception as error:
            # Any error counts: one that ended this task would leave the circuit open forever.
            reason = str(error) or type(error).__name__
            log.warning("the probe failed; the circuit stays open", reason=reason)
            self._circuit.end_probe(succeeded=False)
        else:
            self._circuit.end_probe(succeeded=True)

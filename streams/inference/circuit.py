"""The circuit breaker: closed, open, half-open, over the share of recent attempts that succeeded.

Only what says something about the models is counted: an attempt that scored, and one that failed
or took too long. While the circuit is open nothing is scored for real but a probe with a built-in
picture, so that no user's event pays for finding out.

No library: the ones for asyncio that are well kept count failures in a row, and all of them let
live calls through as probes.
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
    """Closed: events are scored. Open: they are not. Half-open: neither, and a probe is out."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class CircuitOpen(StreamsError):
    """Too many recent attempts at scoring failed; the models are left alone for now."""

    def __init__(self, share: float, threshold: float) -> None:
        super().__init__(
            f"{share:.0%} of the recent attempts succeeded, less than "
            f"SIMULATED_ML_THRESHOLD={threshold:g}; the circuit is open until a probe succeeds"
        )


class Circuit:
    """The state machine. It has no clock and no tasks; see ``CircuitProbe`` for those.

    Opens when, of the last ``window`` attempts and at least ``minimum`` of them, a share below
    ``threshold`` (0..1) succeeded. A threshold of 0 never opens it.
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
        """The share of the counted attempts that succeeded; 1 when there are none.

        While open: the share that opened it.
        """
        return sum(self._recent) / len(self._recent) if self._recent else 1.0

    def begin(self) -> int:
        """The mark of an attempt that begins now, to be given to ``record`` with its outcome."""
        return self._epoch

    def record(self, mark: int, *, succeeded: bool) -> None:
        """Count an attempt; one that began before the circuit last changed is no longer news."""
        if mark != self._epoch or not self.is_closed:
            return
        self._recent.append(succeeded)
        if len(self._recent) >= self._minimum and self.success_share < self._threshold:
            self._become(CircuitState.OPEN)

    def refusal(self) -> CircuitOpen | None:
        """Why nothing is scored now, or None when the circuit is closed."""
        return None if self.is_closed else CircuitOpen(self.success_share, self._threshold)

    def begin_probe(self) -> None:
        """Open becomes half-open; any other state stays."""
        if self.state is CircuitState.OPEN:
            self._become(CircuitState.HALF_OPEN)

    def end_probe(self, *, succeeded: bool) -> None:
        """Half-open becomes closed, with nothing counted yet, or open again."""
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
    """Closes an open circuit again: tries a built-in picture until it is scored."""

    def __init__(
        self, circuit: Circuit, probe: Callable[[], Awaitable[None]], *, interval_s: float
    ) -> None:
        """``probe`` raises when the models fail."""
        self._circuit = circuit
        self._probe = probe
        self._interval_s = interval_s

    async def run(self) -> None:
        """Wait for the circuit to open, probe it closed, again and again, until cancelled."""
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
            # Whatever it is: a probe that ended this task would leave the circuit open for ever.
            reason = str(error) or type(error).__name__
            log.warning("the probe failed; the circuit stays open", reason=reason)
            self._circuit.end_probe(succeeded=False)
        else:
            self._circuit.end_probe(succeeded=True)

"""The plan of faults of a run: drawn from a seed, the same for the same seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What is done to the workers and to what they depend on."""

    KILL = "kill"
    TERM = "term"
    JOIN = "join"
    LEAVE = "leave"
    ZOMBIE = "zombie"
    CUT = "cut"
    BLACK_HOLE = "black-hole"
    INDEX_AWAY = "index-away"
    INDEX_ERRORS = "index-errors"
    INDEX_SLOW = "index-slow"
    FALLBACK_REFUSED = "fallback-refused"
    SLOW_PICTURES = "slow-pictures"


@dataclass(frozen=True, slots=True)
class Fault:
    """Wait ``after_s``, then do it for ``lasts_s`` (0: it is over at once).

    ``victim`` in [0, 1) chooses among the workers there are; ``number`` chooses a variant.
    """

    kind: Kind
    after_s: float
    lasts_s: float
    victim: float
    number: int

    def __str__(self) -> str:
        lasts = f" for {self.lasts_s:.0f} s" if self.lasts_s else ""
        return f"after {self.after_s:.1f} s {self.kind.value}{lasts}"


@dataclass(frozen=True, slots=True)
class Plan:
    """The faults of a seed, in order."""

    seed: int
    faults: tuple[Fault, ...]

    @property
    def takes_s(self) -> float:
        """About how long it takes."""
        return sum(
            fault.after_s + (fault.lasts_s if fault.kind in BLOCKING else 0)
            for fault in self.faults
        )


#: Nothing else is done meanwhile: a worker that cannot reach the broker cannot stop cleanly.
BLOCKING = frozenset({Kind.BLACK_HOLE})

#: How long each lasts, in seconds; those not here are over at once. A zombie's begins where the
#: session time-out ends.
LASTS: dict[Kind, tuple[float, float]] = {
    Kind.ZOMBIE: (2, 6),
    Kind.BLACK_HOLE: (3, 14),
    Kind.INDEX_AWAY: (15, 60),
    Kind.INDEX_ERRORS: (5, 15),
    Kind.INDEX_SLOW: (5, 15),
    Kind.FALLBACK_REFUSED: (5, 15),
    Kind.SLOW_PICTURES: (10, 20),
}
#: Those that make the most trouble come once more.
TWICE = (Kind.KILL, Kind.TERM, Kind.JOIN)


def plan(seed: int, *, session_s: float, longest_s: float = 60.0) -> Plan:
    """Every kind of fault at least once, in an order and at distances drawn from the seed.

    ``longest_s`` bounds each fault.
    """
    rng = random.Random(f"faults-{seed}")
    kinds = [*Kind, *TWICE]
    rng.shuffle(kinds)
    return Plan(seed, tuple(_fault(rng, kind, session_s, longest_s) for kind in kinds))


def _fault(rng: random.Random, kind: Kind, session_s: float, longest_s: float) -> Fault:
    lasts_s = min(rng.uniform(*LASTS[kind]), longest_s) if kind in LASTS else 0.0
    if kind is Kind.ZOMBIE:
        lasts_s += session_s
    return Fault(kind, rng.uniform(0.5, 5), lasts_s, rng.random(), rng.randrange(1000))

"""The plan of faults of a run, drawn from a seed: the same seed gives the same plan."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The kinds of faults, for workers and for the services they depend on."""

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
    """One fault: it begins after ``after_s`` and lasts ``lasts_s`` (0: it is over at once).

    ``victim`` in [0, 1) picks one of the running workers; ``number`` picks a variant.
    """

    kind: Kind
    after_s: float
    lasts_s: float
    victim: float
    number: int

    def __str__(self) -> str:
        lasts = f" for {self.lasts_s:.0f} s" if self.lasts_s else ""
        return f"after {self.after_s:.1f} s {self.kind.value}{lasts}"


#: No other fault begins meanwhile: a worker that cannot reach the broker cannot stop cleanly.
BLOCKING = frozenset({Kind.BLACK_HOLE})

#: Shortest and longest duration in seconds; other faults are over at once. For a zombie they count
#: from the end of its session time-out.
LASTS: dict[Kind, tuple[float, float]] = {
    Kind.ZOMBIE: (2, 6),
    Kind.BLACK_HOLE: (3, 14),
    Kind.INDEX_AWAY: (15, 60),
    Kind.INDEX_ERRORS: (5, 15),
    Kind.INDEX_SLOW: (5, 15),
    Kind.FALLBACK_REFUSED: (5, 15),
    Kind.SLOW_PICTURES: (10, 20),
}
#: The faults that have found the most bugs occur twice.
TWICE = (Kind.KILL, Kind.TERM, Kind.JOIN)


def plan(seed: int, *, session_s: float, longest_s: float = 60.0) -> tuple[Fault, ...]:
    """Draw every kind of fault at least once, in random order and at random intervals.

    ``longest_s`` limits the duration of each fault.
    """
    rng = random.Random(f"faults-{seed}")
    kinds = [*Kind, *TWICE]
    rng.shuffle(kinds)
    return tuple(_fault(rng, kind, session_s, longest_s) for kind in kinds)


def _fault(rng: random.Random, kind: Kind, session_s: float, longest_s: float) -> Fault:
    lasts_s = min(rng.uniform(*LASTS[kind]), longest_s) if kind in LASTS else 0.0
    if kind is Kind.ZOMBIE:
        lasts_s += session_s
    return Fault(kind, rng.uniform(0.5, 5), lasts_s, rng.random(), rng.randrange(1000))

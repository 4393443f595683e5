"""Medians with their spread, and ratios of runs of the same repeat."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Spread:
    """The median, the lowest and the highest of several repeats."""

    median: float
    low: float
    high: float
    repeats: int

    def text(self, digits: int = 1) -> str:
        """Return the spread as ``12.3 (11.9 to 12.8)``."""
        return f"{self.median:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"


def spread(values: Sequence[float]) -> Spread:
    """Compute the spread. Raises ``ValueError`` without values."""
    if not values:
        raise ValueError("no values to take the median of")
    return Spread(statistics.median(values), min(values), max(values), len(values))


def ratios(upper: Sequence[float], lower: Sequence[float]) -> Spread:
    """Divide the values of each repeat: a slow machine slowed both.

    Raises ``ValueError`` when the numbers of repeats differ.
    """
    return spread([one / other for one, other in zip(upper, lower, strict=True)])


def best_of(contenders: Sequence[Sequence[T]], value: Callable[[T], float]) -> Sequence[T]:
    """Return the contender with the highest median. Raises ``ValueError`` for none."""
    return max(contenders, key=lambda runs: statistics.median(map(value, runs)))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that ``share`` (0..1) of the values do not exceed, by nearest rank."""
    if not values:
        raise ValueError("no values to take a percentile of")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered)) - 1))]

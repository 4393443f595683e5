"""Compute the figures of a benchmark run: ratios and differences, each with its spread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.contenders import Run
from benchmarks.ratios import Spread, best_of, percentile, ratios, spread
from benchmarks.results import Results

Compute = Callable[[Results], Spread | None]
"""Computes a figure; None if the run did not measure it."""

RunValue = Literal["images_s", "cpu_ms"]
Latencies = Literal["alone_ms", "bare_ms", "loaded_ms", "paced_ms", "pool_ms"]
"""A field of ``LatencyRound``."""


@dataclass(frozen=True)
class Key:
    """A figure and its target: ``at_most``, ``at_least``, or neither if it is only reported.

    ``needs`` names the contenders and the parts of the run that ``compute`` uses.
    """

    name: str
    description: str
    compute: Compute
    needs: tuple[str, ...]
    digits: int
    at_most: float | None = None
    at_least: float | None = None


@dataclass(frozen=True)
class Figure:
    """The measured value of a key."""

    key: Key
    value: Spread

    @property
    def reached(self) -> bool | None:
        """Whether the median meets the target; None without a target."""
        median = self.value.median
        if self.key.at_least is not None:
            return median >= self.key.at_least
        return None if self.key.at_most is None else median <= self.key.at_most

    @property
    def target(self) -> str:
        """The target as shown in a table, like ``≤ 1.08``."""
        return self._target("≥ ", "≤ ")

    def line(self) -> str:
        """Return ``key=median``, then spread, target, and whether it is reached."""
        digits = self.key.digits
        words = [
            f"{self.key.name}={self.value.median:.{digits}f}",
            f"low={self.value.low:.{digits}f}",
            f"high={self.value.high:.{digits}f}",
        ]
        if self.reached is not None:
            words.append(f"target{self._target('>=', '<=')}")
            words.append("reached" if self.reached else "NOT-REACHED")
        return " ".join(words)

    def _target(self, at_least: str, at_most: str) -> str:
        if self.key.at_least is not None:
            return f"{at_least}{self.key.at_least:g}"
        return "" if self.key.at_most is None else f"{at_most}{self.key.at_most:g}"


def against(value: RunValue, ours: str, others: Sequence[str]) -> Compute:
    """Divide our value by that of the fastest of the others, repeat by repeat."""

    def of(run: Run) -> float:
        return run.images_s if value == "images_s" else run.cpu_ms

    def compute(results: Results) -> Spread | None:
        runs = results.main_runs
        measured = [runs[name] for name in others if runs.get(name)]
        if not runs.get(ours) or not measured:
            return None
        best = best_of(measured, lambda run: run.images_s)
        return ratios([of(run) for run in runs[ours]], [of(run) for run in best])

    return compute


def added(measured: Latencies, share: float, to: Latencies, *, on_kafka: bool = False) -> Compute:
    """Subtract a percentile of bare models from ours, round by round.

    There is no figure if a round failed, because the remaining rounds may be the better ones.
    """

    def compute(results: Results) -> Spread | None:
        rounds = results.kafka if on_kafka else results.latency
        pairs = [(getattr(one, measured), getattr(one, to)) for one in rounds]
        if not pairs or not all(ours and bare for ours, bare in pairs):
            return None
        return spread([percentile(ours, share) - percentile(bare, share) for ours, bare in pairs])

    return compute


def scaling(where: str) -> Compute:
    """Divide the images per second of two workers by those of one."""

    def compute(results: Results) -> Spread | None:
        pairs = results.scaling.get(where)
        return spread([two / one for one, two in pairs]) if pairs else None

    return compute


def growth(what: str) -> Compute:
    """Compare the CPU time of an event at two sizes, the models' time added to the stream's."""

    def compute(results: Results) -> Spread | None:
        pairs, bare = results.growth.get(what), results.main_runs.get("bare")
        if not pairs or not bare:
            return None
        models = spread([run.cpu_ms for run in bare]).median
        return spread([(models + large) / (models + small) for small, large in pairs])

    return compute


def own_growth(what: str) -> Compute:
    """Compare the stream's own CPU time of an event at two sizes."""

    def compute(results: Results) -> Spread | None:
        pairs = results.growth.get(what)
        return spread([large / small for small, large in pairs]) if pairs else None

    return compute


def rss_mb(results: Results) -> Spread | None:
    """Return the worker's resident memory on JSON events, MB."""
    runs = results.main_runs.get("facestream-json")
    return spread([run.rss_mb for run in runs]) if runs else None


def start_ms(results: Results) -> Spread | None:
    """Return the time from the start of the process to loaded models, ms."""
    return spread(results.start_ms) if results.start_ms else None

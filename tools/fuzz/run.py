"""Runs a part of the fuzzer, with limits on the time and memory of each input."""

from __future__ import annotations

import gc
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import hypothesis
from hypothesis import HealthCheck, Phase, strategies

from tools.fuzz.memory import peak_rss_mb, reset_peak, rss_mb

#: Inputs of one hypothesis run. It keeps all of them, which would show as growth.
BATCH = 1000
#: Processor seconds for one input, in all threads.
MAX_SECONDS = 10.0
#: Growth of the process during one input. With the models, a picture of nine megapixels takes up
#: to 150 MB; memory that the heap had returned to the system before comes on top.
MAX_MB = 200.0
MAX_FAILURES = 5
SHOWN = 4000

T = TypeVar("T")


@dataclass
class Part(Generic[T]):
    """A part of the fuzzer: a strategy for inputs, and a check of each."""

    name: str
    inputs: strategies.SearchStrategy[T]
    check: Callable[[T], int]
    """Return the number of inputs in an example; raise when one is handled wrongly."""
    count: int = 0
    failures: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    largest_mb: float = 0.0
    peak_mb: float = 0.0
    _broken_by: str = ""

    def run(self, inputs: int, seed: int, say: Callable[[str], None] = lambda _: None) -> None:
        """Check at least ``inputs`` inputs, or stop after ``MAX_FAILURES``.

        The same seed gives the same inputs.
        """
        batch = 0
        while self.count < inputs and len(self.failures) < MAX_FAILURES:
            try:
                self._batch(min(BATCH, inputs - self.count), f"{seed} {self.name} {batch}")
            except Exception as error:
                shown = "".join(traceback.format_exception(error))
                self.failures.append(f"{shown}smallest input: {self._broken_by[:SHOWN]}")
                say(f"{self.name} FAILED\n{self.failures[-1]}")
            batch += 1
            if batch % 10 == 0:
                say(f"{self.name} {self.count}, {rss_mb():.0f} MB, at most {self.peak_mb:.0f} MB")

    def _batch(self, examples: int, seed: str) -> None:
        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=examples,
            database=None,
            deadline=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        )
        @hypothesis.given(self.inputs)
        def batch(given: T) -> None:
            self._measured(given)

        batch()
        gc.collect()  # hypothesis leaves reference cycles

    def _measured(self, given: T) -> None:
        reset_peak()
        before, started = rss_mb(), time.process_time()
        try:
            self.count += self.check(given)
        except Exception:
            self._broken_by = repr(given)
            raise
        seconds, peak = time.process_time() - started, peak_rss_mb()
        grown = peak - before
        self.peak_mb = max(self.peak_mb, peak)
        self.slowest_s = max(self.slowest_s, seconds)
        self.largest_mb = max(self.largest_mb, grown)
        assert seconds <= MAX_SECONDS, f"took {seconds:.1f} s of processor time"
        assert grown <= MAX_MB, f"took {grown:.0f} MB of memory"

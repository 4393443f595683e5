"""How long each stage of one picture takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

from models.session import Cancellation


@dataclass
class StageClock:
    """Sums the time of each stage of one picture; starts no stage after cancellation."""

    cancellation: Cancellation
    milliseconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the block as one more run of the stage ``name``.

        Raises ``InferenceTerminated`` when the request is cancelled already.
        """
        self.cancellation.raise_if_cancelled()
        started = perf_counter()
        try:
            yield
        finally:
            # A search that fails and is repeated counts too.
            spent = (perf_counter() - started) * 1000.0
            self.milliseconds[name] = self.milliseconds.get(name, 0.0) + spent

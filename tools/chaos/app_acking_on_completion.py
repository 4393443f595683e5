"""A worker with a deliberate bug that the suite must find: it acknowledges on completion.

An acknowledgement may then overtake unfinished events of its partition. Faust's own
``concurrency`` option behaves like this.
"""

from __future__ import annotations

from typing import Any

from streams.engine.in_flight import InFlightWindow
from tools.chaos.app import app

__all__ = ["app"]


def _ack_on_completion(self: InFlightWindow, lane: Any) -> None:
    queue = self._lanes.get(lane)
    for held in [held for held in queue or () if held.done]:
        assert queue is not None
        queue.remove(held)
        self._release(held)
        held.event.ack()
    if queue is not None and not queue:
        del self._lanes[lane]
    self._adjust_pressure()


InFlightWindow._ack_in_order = _ack_on_completion  # type: ignore[method-assign]

"""A worker with a deliberate bug that the suite must find: it acknowledges on completion.

An acknowledgement may then overtake unfinished events of its partition. Faust's own
``concurrency`` option behaves like this.
"""

from __future__ import annotations

from streams.engine.in_flight import InFlightWindow, Lane
from tools.chaos.app import app

__all__ = ["app"]

_ack_in_order = InFlightWindow._ack_in_order


def _ack_on_completion(self: InFlightWindow, lane: Lane) -> None:
    if queue := self._lanes.get(lane):
        finished_first = sorted(queue, key=lambda held: not held.done)
        queue.clear()
        queue.extend(finished_first)
    _ack_in_order(self, lane)


InFlightWindow._ack_in_order = _ack_on_completion  # type: ignore[method-assign]

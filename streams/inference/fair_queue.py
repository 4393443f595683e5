"""A fair queue: interactive work alternates with the backlog."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """A queue with an interactive and a background lane; thread-safe.

    While both lanes hold work, they take turns. An HTTP request does not wait behind the whole
    backlog of a topic, and requests cannot starve the backlog.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._interactive: deque[T] = deque()
        self._background: deque[T] = deque()
        self._last_was_interactive = False

    def put(self, item: T, *, interactive: bool) -> None:
        """Append to one of the lanes."""
        with self._lock:
            (self._interactive if interactive else self._background).append(item)

    def take(self) -> T:
        """Remove and return the next item. Raises ``IndexError`` when both lanes are empty."""
        with self._lock:
            yields = self._last_was_interactive and bool(self._background)
            self._last_was_interactive = bool(self._interactive) and not yields
            lane = self._interactive if self._last_was_interactive else self._background
            return lane.popleft()

    def __len__(self) -> int:
        return len(self._interactive) + len(self._background)

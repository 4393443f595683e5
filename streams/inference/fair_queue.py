"""Two queues that take turns: who is waited for stands in the shorter one."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """What is to be done, some of it urgent; from any thread.

    While there is both, every other turn is an urgent one: those who wait for an answer are not
    behind the whole backlog of a topic, and cannot hold it up either.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._urgent: deque[T] = deque()
        self._patient: deque[T] = deque()
        self._was_urgent = False

    def put(self, item: T, *, urgent: bool) -> None:
        """At the end of one of the queues."""
        with self._lock:
            (self._urgent if urgent else self._patient).append(item)

    def take(self) -> T:
        """Whose turn it is. Raises IndexError when there is nothing."""
        with self._lock:
            self._was_urgent = bool(self._urgent) and not (self._was_urgent and self._patient)
            return (self._urgent if self._was_urgent else self._patient).popleft()

    def __len__(self) -> int:
        return len(self._urgent) + len(self._patient)

"""How much the web port works on at once: beyond that it refuses, it never queues without end."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from streams.errors import Busy


class Admission:
    """Lets in so many requests, and so many bytes of them, at once."""

    def __init__(self, *, max_requests: int, max_bytes: int | None = None) -> None:
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self._requests = 0
        self._bytes = 0

    @property
    def requests(self) -> int:
        """Requests that are in now."""
        return self._requests

    @contextlib.contextmanager
    def admit(self, size: int = 0) -> Iterator[None]:
        """Hold a place for a request of ``size`` bytes. Raises ``Busy``, at once.

        A request larger than all that may be held is let in when it is alone.
        """
        full = self._max_bytes is not None and self._bytes + size > self._max_bytes
        if self._requests >= self._max_requests or (full and self._requests):
            raise Busy(f"{self._requests} requests are being worked on; try again soon")
        self._requests += 1
        self._bytes += size
        try:
            yield
        finally:
            self._requests -= 1
            self._bytes -= size

"""Caps on concurrent requests: beyond a cap a request is refused at once, never queued."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from aiohttp import web

from streams.config.settings import Settings
from streams.errors import Busy
from streams.web.request_body import body_limit, declared_size

#: Concurrent requests for each thread that scores: that many finish well within 5 s.
REQUESTS_PER_THREAD = 16


class Admission:
    """Caps the number of concurrent requests, and the bytes of their bodies together."""

    def __init__(self, *, max_requests: int, max_bytes: int | None = None) -> None:
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self._requests = 0
        self._bytes = 0

    @contextlib.contextmanager
    def admit(self, size: int = 0) -> Iterator[None]:
        """Count a request of ``size`` bytes while the block runs. Raises ``Busy`` when full.

        A request larger than ``max_bytes`` is admitted when no other request is in progress.
        """
        full = self._max_bytes is not None and self._bytes + size > self._max_bytes
        if self._requests >= self._max_requests or (full and self._requests):
            raise Busy(f"{self._requests} requests are in progress; try again soon")
        self._requests += 1
        self._bytes += size
        try:
            yield
        finally:
            self._requests -= 1
            self._bytes -= size


class Intake:
    """The checks before a body is read; one object for all pages, so that they share its cap."""

    def __init__(
        self,
        settings: Settings,
        *,
        is_ready: Callable[[], bool],
        is_stopping: Callable[[], bool],
    ) -> None:
        self._body_limit = body_limit(settings)
        self._is_ready = is_ready
        self._is_stopping = is_stopping
        self._admission = Admission(
            max_requests=REQUESTS_PER_THREAD * settings.threads,
            max_bytes=settings.max_in_flight_mb * 1024 * 1024,
        )

    @contextlib.contextmanager
    def admit(self, request: web.Request, limit: int | None = None) -> Iterator[None]:
        """Count a request while its body is read and worked on.

        ``limit``: the most bytes of its body; ``body_limit`` by default. Raises ``Busy`` while the
        worker starts, stops or is full, and ``Refusal`` for a body over the limit.
        """
        size = declared_size(request, self._body_limit if limit is None else limit)
        if self._is_stopping():
            raise Busy("this worker is stopping; try again")
        if not self._is_ready():
            raise Busy("the models are being loaded; try again soon")
        with self._admission.admit(size):
            yield

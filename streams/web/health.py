"""The probes of an orchestrator: ``/health/live`` and ``/health/ready``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from aiohttp import web

from streams.index.errors import VectorIndexError
from streams.runtime import Runtime
from streams.web.answers import json_answer

#: Shorter than the time-out of the probes in deploy/, which is four or five seconds.
INDEX_TIMEOUT_S = 1.0


class HealthPages:
    """Liveness and readiness of this worker."""

    def __init__(self, runtime: Runtime, is_stopping: Callable[[], bool]) -> None:
        self._runtime = runtime
        self._is_stopping = is_stopping
        self._index_ping = IndexPing(self._ping_index)

    async def live(self, _: web.Request) -> web.Response:
        """Answer 200 while the worker makes progress, else 503: restart it.

        A worker whose event loop is stuck does not answer, which a probe counts as a failure too.
        """
        stalled = self._runtime.progress.stalled()
        status = HTTPStatus.SERVICE_UNAVAILABLE if stalled else HTTPStatus.OK
        return json_answer({"status": "stalled" if stalled else "live", "stalled": stalled}, status)

    async def ready(self, _: web.Request) -> web.Response:
        """Answer 200 when events are scored and answered, else 503; the body names each part.

        Ready means: the models are warm (one real inference was done), the broker answers,
        partitions are assigned, and no topic is stalled. Without the index the answer is 200 and
        "degraded": faces are scored and answered now, and indexed when the index is back.
        """
        runtime = self._runtime
        index = await self._index_ping.answers()
        windows = runtime.assignment.windows
        stalled = runtime.progress.stalled()
        parts = {
            "models": runtime.pool.ready,
            "broker": runtime.progress.broker_answers,
            "assignment": runtime.assignment.arrived.is_set(),
        }
        ok = all(parts.values()) and not stalled and not self._is_stopping()
        body = {
            "status": "not ready" if not ok else "ready" if index else "degraded",
            **parts,
            "index": index,
            "stalled": stalled,
            "partitions": runtime.assignment.partitions,
            "held": {window.topic: window.state.held for window in windows},
            "held_bytes": {window.topic: window.state.held_bytes for window in windows},
            "lag": runtime.progress.lag,
        }
        return json_answer(body, HTTPStatus.OK if ok else HTTPStatus.SERVICE_UNAVAILABLE)

    async def _ping_index(self) -> bool:
        if not self._runtime.index_is_open:
            return False
        try:
            await (await self._runtime.index()).ping()
        except VectorIndexError:
            return False
        return True


class IndexPing:
    """Pings the index, one ping at a time, and waits at most ``timeout_s`` for its answer.

    An index that hangs counts as unavailable. It blocks one thread, however many probes arrive.
    """

    def __init__(
        self, ping: Callable[[], Awaitable[bool]], timeout_s: float = INDEX_TIMEOUT_S
    ) -> None:
        self._ping = ping
        self._timeout_s = timeout_s
        self._pinging: asyncio.Future[bool] | None = None

    async def answers(self) -> bool:
        """Whether the index answers in time."""
        if self._pinging is None or self._pinging.done():
            self._pinging = asyncio.ensure_future(self._ping())
        pinging = self._pinging  # the next probe may replace it while this one waits
        done, _ = await asyncio.wait({pinging}, timeout=self._timeout_s)
        return bool(done) and pinging.result()

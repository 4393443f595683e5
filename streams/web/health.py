"""Is this worker alive, and does it take events?"""

from __future__ import annotations

import asyncio
from typing import Any

from streams.app import app
from streams.index.errors import VectorIndexError

#: Probes give up after four or five seconds (deploy/).
INDEX_PATIENCE_S = 1.0


@app.page("/health/live")
async def live(self: Any, request: Any) -> Any:
    """200 while the worker gets on, else 503: restart it.

    No answer at all is the same: the event loop is stuck.
    """
    stalled = app.runtime.progress.stalled()
    status = 503 if stalled else 200
    return self.json(
        {"status": "stalled" if stalled else "live", "stalled": stalled}, status=status
    )


@app.page("/health/ready")
async def ready(self: Any, request: Any) -> Any:
    """200 when events are scored and answered, else 503; what is missing is said either way.

    Models are warm (a real inference was done), the broker answers, partitions are assigned, no
    topic is stalled. With the index away it is 200 and "degraded": faces are scored and answered,
    and indexed when it is back.
    """
    runtime = app.runtime
    index = await _index_ping.answers()
    stalled = runtime.progress.stalled()
    parts = {
        "models": runtime.pool.ready,
        "broker": runtime.progress.broker_answers,
        "assignment": runtime.assigned,
    }
    ok = all(parts.values()) and not stalled and not app.should_stop
    body = {
        "status": "not ready" if not ok else "ready" if index else "degraded",
        **parts,
        "index": index,
        "stalled": stalled,
        "partitions": runtime.partitions,
        "held": {window.topic: window.state.held for window in runtime.windows},
        "held_bytes": {window.topic: window.state.held_bytes for window in runtime.windows},
        "lag": runtime.progress.lag,
    }
    return self.json(body, status=200 if ok else 503)


class _IndexPing:
    """Asks the index, once at a time, and waits less for it than those who ask for our health.

    A server that hangs is away: it keeps one thread meanwhile, and no probe.
    """

    def __init__(self) -> None:
        self._asking: asyncio.Task[bool] | None = None

    async def answers(self) -> bool:
        """Whether the index answers within ``INDEX_PATIENCE_S``."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(_index_answers(), name="index-ping")
        asking = self._asking  # the next probe may have replaced it when we come back
        done, _ = await asyncio.wait({asking}, timeout=INDEX_PATIENCE_S)
        return bool(done) and asking.result()


async def _index_answers() -> bool:
    if not app.runtime.index_is_open:
        return False
    try:
        await (await app.runtime.index()).ping()
    except VectorIndexError:
        return False
    return True


_index_ping = _IndexPing()

"""Is this worker alive, and does it take events?"""

from __future__ import annotations

from typing import Any

from streams.app import app


@app.page("/health/live")
async def live(self: Any, request: Any) -> Any:
    """200 while the event loop turns."""
    return self.json({"status": "live"})


@app.page("/health/ready")
async def ready(self: Any, request: Any) -> Any:
    """200 when models are warm and partitions are assigned, else 503; what is missing either way.

    The index may be away: scoring goes on without it.
    """
    runtime = app.runtime
    parts = {
        "models": runtime.pool.ready,
        "assignment": runtime.assigned,
        "index": runtime.index_is_open,
    }
    ok = parts["models"] and parts["assignment"] and not app.should_stop
    body = {
        "status": "ready" if ok else "not ready",
        **parts,
        "partitions": runtime.partitions,
        "held": {window.topic: window.state.held for window in runtime.windows},
    }
    return self.json(body, status=200 if ok else 503)

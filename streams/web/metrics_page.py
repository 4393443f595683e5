"""The page that Prometheus reads."""

from __future__ import annotations

from typing import Any

from streams.app import app


@app.page("/metrics")
async def metrics(self: Any, request: Any) -> Any:
    """Every metric, as text or OpenMetrics."""
    body, content_type = app.runtime.metrics.exposition(request.headers.get("Accept", ""))
    # Not as content_type: aiohttp refuses one that carries a charset there.
    return self.bytes(body, headers={"Content-Type": content_type})

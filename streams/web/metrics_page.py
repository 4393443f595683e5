"""``/metrics``: the page that Prometheus reads."""

from __future__ import annotations

from aiohttp import web

from streams.telemetry.metrics import Metrics


class MetricsPage:
    """Every metric, as Prometheus text or OpenMetrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def get(self, request: web.Request) -> web.Response:
        """Answer in the format that the ``Accept`` header asks for."""
        body, content_type = self._metrics.exposition(request.headers.get("Accept", ""))
        # As a header: aiohttp refuses a content_type that carries a charset.
        return web.Response(body=body, headers={"Content-Type": content_type})

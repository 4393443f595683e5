"""The web port as the app sees it: its options, and every page with its path."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp.typedefs import Middleware
from aiohttp.web import UrlDispatcher

from streams.config.settings import Settings
from streams.runtime import Runtime
from streams.telemetry.http_metrics import HttpMetrics
from streams.web.admission import Intake
from streams.web.authentication import token_middleware
from streams.web.detect_and_embed import DetectAndEmbedPages
from streams.web.failures import api_failures, index_failures
from streams.web.health import HealthPages
from streams.web.index_page import IndexPages
from streams.web.metrics_page import MetricsPage
from streams.web.model_status import ModelStatusPages
from streams.web.openapi_page import openapi
from streams.web.request_body import body_limit
from streams.web.request_metrics import counting_middleware
from streams.web.score_page import ScorePage


def application_options(
    settings: Settings, metrics: Callable[[], HttpMetrics]
) -> dict[str, list[Middleware] | int]:
    """Return the options of the ``aiohttp`` application: middlewares, outermost first, body limit.

    ``metrics`` is called for each request, because the application is made before the metrics.
    """
    return {
        "middlewares": [
            counting_middleware(metrics),
            token_middleware(settings),
            api_failures,
            index_failures,
        ],
        "client_max_size": body_limit(settings),
    }


def add_pages(router: UrlDispatcher, runtime: Runtime, is_stopping: Callable[[], bool]) -> None:
    """Add every page of the web port to ``router``."""
    intake = Intake(runtime.settings, is_ready=lambda: runtime.pool.ready, is_stopping=is_stopping)
    health = HealthPages(runtime, is_stopping)
    router.add_get("/health/live", health.live)
    router.add_get("/health/ready", health.ready)
    router.add_get("/metrics", MetricsPage(runtime.metrics).get)

    index = IndexPages(runtime, intake)
    router.add_get("/index", index.state)
    router.add_get("/index/faces/{face_id}", index.face)
    router.add_post("/index/search", index.search)

    models = DetectAndEmbedPages(runtime, intake)
    router.add_post("/api/detect-face", models.detect_face)
    router.add_post("/api/extract-embedding", models.extract_embedding)
    score = ScorePage(runtime, intake)
    router.add_post("/api/score", score.post)
    router.add_post("/api/attractiveness/score", score.post)  # the path in the older app
    status = ModelStatusPages(runtime.probe, runtime.circuit, runtime.settings)
    router.add_get("/api/health", status.health)
    router.add_get("/api/ml-status", status.ml_status)
    router.add_get("/api/openapi.json", openapi)

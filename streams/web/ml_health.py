"""Can the HTTP API do its work? In the shapes that the older system's pages had."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Literal

from schemas.http_api import (
    HealthAnswer,
    HealthReport,
    MlStatus,
    MlStatusAnswer,
    OverallDetails,
    Recommendations,
    ServiceDetails,
)
from streams.app import app
from streams.model_probe import ModelHealth
from streams.web.api_view import ApiView


@app.page("/api/health")
class Health(ApiView):
    """The older services' health, of both at once."""

    async def get(self, request: Any) -> Any:
        """200 and "healthy", or 503: the older client looks at the status code alone."""
        health = await app.runtime.probe.health()
        details = ServiceDetails(face_detection=health.detects, face_embedding=health.embeds)
        answer = HealthAnswer(status=_status(health), details=details, problem=health.problem)
        code = HTTPStatus.OK if health.healthy else HTTPStatus.SERVICE_UNAVAILABLE
        return self.answer(answer, code)


@app.page("/api/ml-status")
class Status(ApiView):
    """The older app's page about the models."""

    async def get(self, request: Any) -> Any:
        """200 whatever it says, as it was."""
        health = await app.runtime.probe.health()
        use_real = health.healthy and app.settings.use_real_ml
        details = OverallDetails(
            face_detection=health.detects, face_embedding=health.embeds, overall=health.healthy
        )
        report = HealthReport(status=_status(health), details=details)
        advice = Recommendations(should_use_real_ml=use_real, fallback_mode=not use_real)
        return self.answer(MlStatusAnswer(data=MlStatus(health=report, recommendations=advice)))


def _status(health: ModelHealth) -> Literal["healthy", "unhealthy"]:
    return "healthy" if health.healthy else "unhealthy"

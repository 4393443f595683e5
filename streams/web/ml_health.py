"""Can the HTTP API do its work? In the shapes that the older system's pages had."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Literal

from schemas.http_api import HealthAnswer, ServiceDetails
from streams.app import app
from streams.web.api_view import ApiView
from streams.web.ml_status import ml_status


@app.page("/api/health")
class Health(ApiView):
    """The older services' health, of both at once."""

    async def get(self, request: Any) -> Any:
        """200 and "healthy", or 503: the older client looks at the status code alone."""
        health = await app.runtime.probe.health()
        details = ServiceDetails(face_detection=health.detects, face_embedding=health.embeds)
        status: Literal["healthy", "unhealthy"] = "healthy" if health.healthy else "unhealthy"
        answer = HealthAnswer(status=status, details=details, problem=health.problem)
        code = HTTPStatus.OK if health.healthy else HTTPStatus.SERVICE_UNAVAILABLE
        return self.answer(answer, code)


@app.page("/api/ml-status")
class Status(ApiView):
    """The older app's page about the models."""

    async def get(self, request: Any) -> Any:
        """200 whatever it says, as it was."""
        runtime = app.runtime
        return self.answer(await ml_status(runtime.probe, runtime.circuit, app.settings))

"""The state of the models in the older system's shapes: ``/api/health`` and ``/api/ml-status``."""

from __future__ import annotations

from http import HTTPStatus

import structlog
from aiohttp import web

from schemas.http_api import (
    HealthAnswer,
    HealthReport,
    MlStatus,
    MlStatusAnswer,
    OverallDetails,
    Recommendations,
    ServiceDetails,
)
from streams.config.scoring_settings import ScoringSettings
from streams.inference.circuit import Circuit
from streams.inference.model_probe import ModelHealth, ModelProbe
from streams.web.answers import record_answer

log = structlog.get_logger(__name__)

NOTHING_KNOWN = ModelHealth(detects=False, embeds=False)


class ModelStatusPages:
    """The health page of the older services, and the status page of the older app."""

    def __init__(self, probe: ModelProbe, circuit: Circuit, settings: ScoringSettings) -> None:
        self._probe = probe
        self._circuit = circuit
        self._settings = settings

    async def health(self, _: web.Request) -> web.Response:
        """Answer 200 and "healthy", or 503: the older client reads the status code only."""
        health = await self._probe.health()
        details = ServiceDetails(face_detection=health.detects, face_embedding=health.embeds)
        answer = HealthAnswer(
            status="healthy" if health.healthy else "unhealthy",
            details=details,
            problem=health.problem,
        )
        code = HTTPStatus.OK if health.healthy else HTTPStatus.SERVICE_UNAVAILABLE
        return record_answer(answer, code)

    async def ml_status(self, _: web.Request) -> web.Response:
        """Answer 200 in every state of the models, as in the older app."""
        return record_answer(await ml_status(self._probe, self._circuit, self._settings))


async def ml_status(
    probe: ModelProbe, circuit: Circuit, settings: ScoringSettings
) -> MlStatusAnswer:
    """Return the state of the models, and of the circuit in front of them.

    A half-open circuit counts as open: events fall back until its probe has succeeded. A health
    probe that raises gives success false in the same shape, as in the older app.
    """
    try:
        health = await probe.health()
    except Exception:
        log.exception("asking the models failed")
        return MlStatusAnswer(success=False, data=_status(NOTHING_KNOWN, False, settings))
    return MlStatusAnswer(data=_status(health, circuit.is_closed, settings))


def _status(health: ModelHealth, circuit_closed: bool, settings: ScoringSettings) -> MlStatus:
    overall = health.healthy and circuit_closed
    use_real = overall and settings.use_real_ml
    return MlStatus(
        health=HealthReport(
            status="healthy" if overall else "unhealthy",
            details=OverallDetails(
                face_detection=health.detects, face_embedding=health.embeds, overall=overall
            ),
        ),
        recommendations=Recommendations(
            should_use_real_ml=use_real,
            fallback_mode=not use_real and settings.fallback_to_simulated,
        ),
    )

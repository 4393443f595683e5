"""What a caller had better do now: the older app's page about the models."""

from __future__ import annotations

import structlog

from schemas.http_api import (
    HealthReport,
    MlStatus,
    MlStatusAnswer,
    OverallDetails,
    Recommendations,
)
from streams.config.settings import Settings
from streams.inference.circuit import Circuit
from streams.inference.model_probe import ModelHealth, ModelProbe

log = structlog.get_logger(__name__)

NOTHING_KNOWN = ModelHealth(detects=False, embeds=False)


async def ml_status(probe: ModelProbe, circuit: Circuit, settings: Settings) -> MlStatusAnswer:
    """The state of the models, and of the circuit in front of them.

    Half-open is open to whoever asks: events fall back until the probe has succeeded. A probe that
    raises is answered as the older page answered it, with success false in the same shape.
    """
    try:
        health = await probe.health()
    except Exception:
        log.exception("asking the models failed")
        return MlStatusAnswer(success=False, data=_status(NOTHING_KNOWN, False, settings))
    return MlStatusAnswer(data=_status(health, circuit.is_closed, settings))


def _status(health: ModelHealth, circuit_closed: bool, settings: Settings) -> MlStatus:
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

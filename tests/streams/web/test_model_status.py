"""``/api/ml-status`` for each state of models, circuit and settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pytest

from streams.config.settings import Settings, load_settings
from streams.inference.circuit import Circuit, CircuitState
from streams.inference.model_probe import ModelHealth, ModelProbe
from streams.web.model_status import ml_status

HEALTHY = ModelHealth(detects=True, embeds=True)


@dataclass
class FakeProbe:
    """Returns ``finds``, or raises it."""

    finds: ModelHealth | Exception = HEALTHY

    async def health(self) -> ModelHealth:
        """The given finding."""
        if isinstance(self.finds, Exception):
            raise self.finds
        return self.finds


def circuit(state: CircuitState) -> Circuit:
    one = Circuit(threshold=1, window=1, minimum=1)
    if state is not CircuitState.CLOSED:
        one.record(one.begin(), succeeded=False)
    if state is CircuitState.HALF_OPEN:
        one.begin_probe()
    assert one.state is state
    return one


async def body_of(
    probe: FakeProbe, state: CircuitState, settings: Settings | None = None
) -> dict[str, Any]:
    answer = await ml_status(cast(ModelProbe, probe), circuit(state), settings or load_settings())
    body: dict[str, Any] = answer.model_dump(by_alias=True)
    return body


def status(
    *, detects: bool = True, embeds: bool = True, overall: bool, use_real: bool, fallback: bool
) -> dict[str, Any]:
    """``data`` in the shape of the older page."""
    return {
        "health": {
            "status": "healthy" if overall else "unhealthy",
            "details": {"faceDetection": detects, "faceEmbedding": embeds, "overall": overall},
        },
        "recommendations": {"shouldUseRealML": use_real, "fallbackMode": fallback},
    }


@pytest.mark.parametrize("state", [CircuitState.OPEN, CircuitState.HALF_OPEN])
async def test_real_scoring_is_not_recommended_unless_the_circuit_is_closed(
    state: CircuitState,
) -> None:
    """Even when both models pass their probe: events fall back until the circuit closes."""
    body = await body_of(FakeProbe(), state)
    assert body == {"success": True, "data": status(overall=False, use_real=False, fallback=True)}


async def test_a_circuit_that_has_closed_again_is_healthy() -> None:
    """Its probe succeeded, so events are scored for real."""
    one = circuit(CircuitState.HALF_OPEN)
    one.end_probe(succeeded=True)
    answer = await ml_status(cast(ModelProbe, FakeProbe()), one, load_settings())
    assert answer.data.health.status == "healthy"
    assert answer.data.recommendations.should_use_real_ml is True


@pytest.mark.parametrize(
    ("settings", "state", "expected"),
    [
        ({}, CircuitState.CLOSED, status(overall=True, use_real=True, fallback=False)),
        (
            {"use_real_ml": False},
            CircuitState.CLOSED,
            status(overall=True, use_real=False, fallback=True),
        ),
        (
            {"fallback_to_simulated": False},
            CircuitState.OPEN,
            status(overall=False, use_real=False, fallback=False),
        ),
        (
            {"use_real_ml": False, "fallback_to_simulated": False},
            CircuitState.CLOSED,
            status(overall=True, use_real=False, fallback=False),
        ),
    ],
)
async def test_fallback_mode_says_whether_answers_are_simulated(
    settings: dict[str, bool], state: CircuitState, expected: dict[str, Any]
) -> None:
    """With FALLBACK_TO_SIMULATED=false it is always false."""
    body = await body_of(FakeProbe(), state, load_settings(**settings))
    assert body["data"] == expected


@pytest.mark.parametrize(("detects", "embeds"), [(False, True), (True, False)])
async def test_both_models_must_work(detects: bool, embeds: bool) -> None:
    """The page says which one does not."""
    probe = FakeProbe(ModelHealth(detects=detects, embeds=embeds, problem="made up"))
    body = await body_of(probe, CircuitState.CLOSED)
    assert body["data"] == status(
        detects=detects, embeds=embeds, overall=False, use_real=False, fallback=True
    )


async def test_a_probe_that_raises_gives_success_false() -> None:
    """As in the older app: the same shape, with both models unhealthy."""
    body = await body_of(FakeProbe(RuntimeError("the pool has stopped")), CircuitState.CLOSED)
    assert body == {
        "success": False,
        "data": status(detects=False, embeds=False, overall=False, use_real=False, fallback=True),
    }

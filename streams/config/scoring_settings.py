"""Settings of scoring: real or simulated, for which users, and when the circuit opens."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from streams.config.section import Section


class ScoringSettings(Section):
    """How an event is answered."""

    use_real_ml: bool = Field(
        True, description="Score with the models. Off: every event gets a simulated answer."
    )
    fallback_to_simulated: bool = Field(
        True,
        description="Answer dead letters with simulated scores. Off: they stay in the fallback "
        "topic.",
    )
    result_format: Literal["standard", "legacy"] = Field(
        "standard",
        description="`legacy` adds `faceId` and `detectionData` to scored-face events, for "
        "consumers that use the older names.",
    )
    simulated_ml_threshold: float = Field(
        0.7,
        ge=0,
        le=1,
        description="Share of recent attempts at scoring that must succeed. Below it the circuit "
        "opens: events fall back at once until a probe succeeds. `0`: the circuit never opens.",
    )
    circuit_window: int = Field(
        100, ge=1, le=100_000, description="Most recent attempts that the share is taken of."
    )
    circuit_min_attempts: int = Field(
        20, ge=1, description="With fewer recent attempts than this the circuit stays closed."
    )
    circuit_probe_s: float = Field(
        5, gt=0, description="Time between probes of an open circuit, in seconds."
    )
    real_ml_rollout_percent: float = Field(
        100,
        ge=0,
        le=100,
        description="Percentage of users scored with the models, chosen by a hash of `user_id`; "
        "the others get simulated answers. An event's own `use_real_ml` overrides it.",
    )
    shadow_ml: bool = Field(
        False,
        description="Score users outside the rollout with the models too, and publish those "
        "scores to the topic `shadow-scored` only.",
    )

    @model_validator(mode="after")
    def _circuit_fits(self) -> Self:
        if self.circuit_min_attempts > self.circuit_window:
            raise ValueError("CIRCUIT_MIN_ATTEMPTS must not be more than CIRCUIT_WINDOW")
        return self

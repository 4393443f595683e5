"""Settings of scoring: real or simulated, for which users, and when the circuit opens."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from streams.config.section import Section


class ScoringSettings(Section):
    """The choice between real and simulated answers."""

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
        description="Share of the last 100 attempts at scoring that must succeed, once there are "
        "20. Below it the circuit opens: events fall back at once until a probe succeeds. `0`: the "
        "circuit never opens.",
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

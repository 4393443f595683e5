"""Settings of the flow of events: how much is in memory, how long a drain may take."""

from __future__ import annotations

from pydantic import Field

from streams.config.section import Section


class FlowSettings(Section):
    """Limits of the events in flight."""

    max_in_flight: int | None = Field(
        None, ge=1, description="Most events held at once by an agent. Unset: 64 for each thread."
    )
    max_in_flight_mb: int = Field(
        128,
        ge=1,
        description="Most MiB of events that an agent holds at once. The same limit applies, "
        "separately, to pictures fetched by `image_uri`; each fetch reserves `MAX_IMAGE_BYTES` "
        "until it is done.",
    )
    drain_timeout_s: float = Field(
        20, ge=1, description="How long a stop or rebalance waits for events being worked on."
    )
    stop_timeout_s: float = Field(
        40,
        ge=2,
        description="A stop that takes longer ends the process. Keep below the grace "
        "period of your orchestrator.",
    )

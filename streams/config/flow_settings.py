"""Settings of the flow of events: how much is in memory, how long a drain may take."""

from __future__ import annotations

from pydantic import Field

from streams.config.section import Section


class FlowSettings(Section):
    """Limits of the events in flight."""

    max_in_flight_mb: int = Field(
        128,
        ge=1,
        description="Most MiB of events that an agent holds at once, besides the limit of 64 "
        "events for each thread. The same number limits the pictures fetched by `image_uri`; each "
        "fetch reserves `MAX_IMAGE_BYTES` until it is done.",
    )
    drain_timeout_s: float = Field(
        20,
        ge=1,
        description="How long a stop or rebalance waits for the events in flight, in seconds. A "
        "stop that hangs ends the process 20 s later, so keep the orchestrator's grace period "
        "above `DRAIN_TIMEOUT_S` plus 20 s. The broker's rebalance timeout is `DRAIN_TIMEOUT_S` "
        "plus 40 s.",
    )

    @property
    def stop_timeout_s(self) -> float:
        """Seconds after which a stop that hangs ends the process."""
        return self.drain_timeout_s + 20

    @property
    def rebalance_timeout_s(self) -> float:
        """Seconds that a rebalance waits for a worker: longer than its drain and its stop."""
        return self.drain_timeout_s + 40

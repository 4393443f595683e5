"""A scorer whose pool and picture store have the outcomes that a test gives."""

from __future__ import annotations

import dataclasses
from typing import Any
from uuid import uuid4

from schemas.codec import encode_image_submitted
from schemas.fallback import FallbackHeaders
from schemas.image_submitted import ImageSubmitted
from streams.inference.circuit import Circuit, CircuitState
from streams.scoring.handler import ScoringHandler
from streams.scoring.scorer import Scorer
from streams.scoring.shadow import ShadowScorer
from streams.telemetry.metrics import Metrics
from tests.fakes import FakeImages, FakePool, FakePublisher, incoming
from tests.metrics_page import Series, series_of


@dataclasses.dataclass
class Scoring:
    """A scorer whose pool and picture store have the outcomes that a test gives."""

    scorer: Scorer
    pool: FakePool
    images: FakeImages
    circuit: Circuit
    metrics: Metrics
    waits: list[None]

    async def failure(self, event: ImageSubmitted) -> FallbackHeaders:
        """Handle an event that must fall back, and return the failure in its dead letter."""
        publisher = FakePublisher()
        handler = ScoringHandler(
            self.scorer,
            self.shadow(),
            publisher.publish,
            fallback_topic="simulated-fallback",
            metrics=self.metrics,
        )
        await handler.handle(as_message(event))
        return FallbackHeaders.from_headers(publisher.published[0].headers)

    def shadow(self, *, leaving: bool = False) -> ShadowScorer:
        """Make a shadow scorer on the same pool and circuit."""
        return ShadowScorer(
            "shadow-scored",
            self.pool,  # type: ignore[arg-type]
            self.scorer.pictures,
            circuit=self.circuit,
            is_leaving=lambda: leaving,
        )

    @property
    def series(self) -> Series:
        """The values of all metrics."""
        return series_of(self.metrics.registry.collect())


def as_message(event: ImageSubmitted) -> Any:
    """Return the message that carries an event."""
    return incoming(encode_image_submitted(event), key=event.user_id.encode())


def image_event(**fields: Any) -> ImageSubmitted:
    """Make an event, with an inline picture unless it has a URI."""
    if "image_uri" not in fields:
        fields["image"] = b"picture"
    return ImageSubmitted(event_id=uuid4(), user_id="anna", **fields)


def open_circuit(circuit: Circuit) -> None:
    """Record the one failure that opens a circuit."""
    circuit.record(circuit.begin(), succeeded=False)
    assert CircuitState.OPEN == circuit.state

"""Handles an image-submitted event: scores it, publishes its answer, then its shadow."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import structlog

from schemas.fallback import FallbackReason
from streams.dead_letters import Failure, fallback_message, publish_dead_letter
from streams.engine.publishing import UnpublishableMessage
from streams.messages import Incoming, Outgoing
from streams.scoring.outcome import FellBack, Scored
from streams.telemetry.handling import Handling
from streams.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

Publish = Callable[[Sequence[Outgoing]], Awaitable[None]]


class Scores(Protocol):
    """Scores events; see ``Scorer``."""

    async def score(self, incoming: Incoming, handling: Handling) -> Scored | FellBack:
        """Score one event."""


class Shadows(Protocol):
    """Shadows events; see ``ShadowScorer``."""

    async def messages(
        self, outcome: FellBack, incoming: Incoming, handling: Handling
    ) -> list[Outgoing]:
        """Return an event's shadow."""


class ScoringHandler:
    """Gives every image-submitted event its answer."""

    def __init__(
        self,
        scorer: Scores,
        shadows: Shadows,
        publish: Publish,
        *,
        fallback_topic: str,
        metrics: Metrics,
    ) -> None:
        self._scorer = scorer
        self._shadows = shadows
        self._publish = publish
        self._fallback_topic = fallback_topic
        self._metrics = metrics

    async def handle(self, incoming: Incoming) -> None:
        """Return when the broker has the event's answer, and its shadow."""
        handling = Handling(incoming, self._metrics)
        outcome = await self._scorer.score(incoming, handling)
        with handling.timed("publish"):
            await self._answer(outcome, incoming, handling)
        handling.record_total()
        if isinstance(outcome, FellBack):
            # After the answer, so that no answer waits for a shadow.
            await self._shadow(outcome, incoming)

    async def _answer(
        self, outcome: Scored | FellBack, incoming: Incoming, handling: Handling
    ) -> None:
        if isinstance(outcome, FellBack):
            await self._fall_back(outcome.failure, incoming, handling)
            return
        try:
            await self._publish(outcome.faces)
        except UnpublishableMessage as error:
            detail = f"the answer does not fit: {error}"
            failure = Failure(FallbackReason.INVALID_EVENT, detail, attempts=1)
            await self._fall_back(failure, incoming, handling)

    async def _fall_back(self, failure: Failure, incoming: Incoming, handling: Handling) -> None:
        handling.fall_back(failure.reason, failure.detail)
        letter = fallback_message(incoming, failure, self._fallback_topic)
        await publish_dead_letter(self._publish, letter, incoming)

    async def _shadow(self, outcome: FellBack, incoming: Incoming) -> None:
        handling = Handling(incoming, self._metrics)
        messages = await self._shadows.messages(outcome, incoming, handling)
        try:
            await self._publish(messages)
        except UnpublishableMessage as error:
            # The event has its answer; only its shadow is missing.
            log.warning("shadow cannot be published", problem=str(error), **handling.fields)
            handling.finish("shadow", "failure")

"""Answers dead letters with simulated scores, where their user can be read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from models.simulated import simulate
from schemas.codec import Identity, decode_image_submitted, identify
from schemas.errors import InvalidEvent
from schemas.fallback import FallbackHeaders, FallbackReason
from schemas.scored_face import ScoredFace, face_id_of
from streams.engine.publishing import UnpublishableMessage
from streams.kafka.topics import TopicNames
from streams.messages import Incoming, Outgoing
from streams.scoring.face_messages import face_message
from streams.scoring.handler import Publish
from streams.telemetry.handling import BULK_REASONS, Handling
from streams.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

#: The formula version of simulated scores.
SIMULATION_VERSION = "simulated-1"


class SimulatedAnswers:
    """Answers dead letters of image-submitted events with scores marked simulated."""

    def __init__(
        self,
        topics: TopicNames,
        *,
        enabled: bool,
        embedding_size: int,
        legacy_results: bool = False,
    ) -> None:
        """``legacy_results``: add the older names (RESULT_FORMAT)."""
        self._topics = topics
        self._legacy_results = legacy_results
        self._enabled = enabled
        self._embedding_size = embedding_size

    def answers(self, incoming: Incoming, handling: Handling) -> list[Outgoing]:
        """Return the simulated scored-face event for a dead letter.

        The list is empty when simulated answers are off, when the dead letter is of another topic
        than image-submitted, or when its user cannot be read.
        """
        try:
            failure = FallbackHeaders.from_headers(incoming.headers)
        except InvalidEvent as error:
            log.warning(
                "dead letter without failure headers; left as it is",
                problem=str(error),
                **handling.fields,
            )
            return []
        if not self._enabled or failure.source_topic != self._topics.image_submitted:
            return []
        identity = identify(incoming.value, incoming.key, incoming.headers)
        if identity is None:
            log.warning(
                "dead letter without a readable user; kept, not answered", **handling.fields
            )
            return []

        record = self._record(identity, incoming, FallbackReason(failure.fallback_reason))
        write = log.debug if record.fallback_reason in BULK_REASONS else log.info
        handling.identify(record.event_id, record.user_id)
        write("answered with simulated scores", reason=record.fallback_reason, **handling.fields)
        return [
            face_message(
                record,
                topic=self._topics.scored_face,
                sender_headers=incoming.headers,
                legacy=self._legacy_results,
            )
        ]

    def _record(self, identity: Identity, incoming: Incoming, reason: FallbackReason) -> ScoredFace:
        image_sha256 = _picture_digest(incoming)
        seed = image_sha256 or hashlib.sha256(incoming.value or b"").hexdigest()
        scores = simulate(seed, self._embedding_size)
        return ScoredFace(
            event_id=identity.event_id,
            face_id=face_id_of(identity.event_id, 0),
            user_id=identity.user_id,
            face_index=0,
            face_count=1,
            embedding=tuple(scores.embedding),
            embedding_size=self._embedding_size,
            quality=scores.quality,
            frontality=scores.frontality,
            symmetry=scores.symmetry,
            resolution=scores.resolution,
            confidence=scores.confidence,
            formula_version=SIMULATION_VERSION,
            provenance="simulated",
            fallback_reason=reason,
            image_sha256=image_sha256,
            submitted_at=identity.submitted_at,
            scored_at=datetime.now(UTC),
            metadata=identity.metadata,
        )


class SimulatedHandler:
    """Gives every dead letter its simulated answer."""

    def __init__(
        self, answers: Callable[[], SimulatedAnswers], publish: Publish, metrics: Metrics
    ) -> None:
        """``answers`` is called for each dead letter, because the models load after the start."""
        self._answers = answers
        self._publish = publish
        self._metrics = metrics

    async def handle(self, incoming: Incoming) -> None:
        """Return when the broker has the answer."""
        handling = Handling(incoming, self._metrics)
        messages = self._answers().answers(incoming, handling)
        try:
            await self._publish(messages)
        except UnpublishableMessage as error:
            # Its metadata leave no room for scores. It stays in the fallback topic.
            log.warning(
                "dead letter cannot be answered; kept", problem=str(error), **handling.fields
            )
            handling.finish("simulated", "failure")
        else:
            handling.finish("simulated", "success" if messages else "rejected")


def _picture_digest(incoming: Incoming) -> str | None:
    """Return the sha256 of the event's picture, if it carries a readable one."""
    try:
        event = decode_image_submitted(incoming.value, incoming.key, incoming.headers)
    except InvalidEvent:
        return None
    if event.image is None:
        return None
    return hashlib.sha256(event.image).hexdigest()

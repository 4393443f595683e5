"""What happens to a dead letter: where it can be read, it is answered with simulated scores."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import structlog

from models.simulated import simulate
from schemas.cloud_events import output_headers
from schemas.codec import decode_image_submitted, encode_scored_face, identify
from schemas.errors import InvalidEvent
from schemas.fallback import FallbackHeaders, FallbackReason
from schemas.scored_face import ScoredFace, face_id_of
from streams.dead_letters import OF_CROWDS
from streams.kafka.topics import TopicNames
from streams.messages import Incoming, Outgoing

log = structlog.get_logger(__name__)

SOURCE = "facestream"

#: In the place of the version of the scoring formulas.
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
        """``legacy_results``: with the older names as well (RESULT_FORMAT)."""
        self._topics = topics
        self._legacy_results = legacy_results
        self._enabled = enabled
        self._embedding_size = embedding_size

    def answers(self, incoming: Incoming) -> list[Outgoing]:
        """The simulated scored-face event for a dead letter.

        Empty when simulated answers are off, when the dead letter is not of an image-submitted
        event, or when nobody can be read from it who would wait for an answer.
        """
        where = {"partition": incoming.partition, "offset": incoming.offset}
        try:
            failure = FallbackHeaders.from_headers(incoming.headers)
        except InvalidEvent as error:
            log.warning(
                "dead letter without our headers; left as it is", problem=str(error), **where
            )
            return []
        if not self._enabled or failure.source_topic != self._topics.image_submitted:
            return []
        identity = identify(incoming.value, incoming.key, incoming.headers)
        if identity is None:
            log.warning("dead letter of nobody we can read; kept, not answered", **where)
            return []

        image_sha256 = _picture_digest(incoming)
        seed = image_sha256 or hashlib.sha256(incoming.value or b"").hexdigest()
        scores = simulate(seed, self._embedding_size)
        now = datetime.now(UTC)
        record = ScoredFace(
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
            fallback_reason=FallbackReason(failure.fallback_reason),
            image_sha256=image_sha256,
            submitted_at=identity.submitted_at,
            scored_at=now,
            metadata=identity.metadata,
        )
        write = log.debug if record.fallback_reason in OF_CROWDS else log.info
        write(
            "answered with simulated scores",
            reason=record.fallback_reason,
            event_id=str(record.event_id),
            user_id=record.user_id,
            **where,
        )
        return [
            Outgoing(
                topic=self._topics.scored_face,
                key=record.user_id.encode(),
                value=encode_scored_face(record, legacy=self._legacy_results),
                headers=output_headers(
                    incoming.headers,
                    id=str(record.face_id),
                    type="scored-face",
                    source=SOURCE,
                    time=now,
                ),
            )
        ]


def _picture_digest(incoming: Incoming) -> str | None:
    """The sha256 of the picture that the event carries, where it carries a readable one."""
    try:
        event = decode_image_submitted(incoming.value, incoming.key, incoming.headers)
    except InvalidEvent:
        return None
    if event.image is None:
        return None
    return hashlib.sha256(event.image).hexdigest()

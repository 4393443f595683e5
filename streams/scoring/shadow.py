"""Shadow scoring: the real scores of users who are answered simulated.

Only users whom the rollout has not reached are shadowed. An event that asks for simulated scores
itself (``use_real_ml: false``) is not, and ``USE_REAL_ML=false`` turns shadows off too.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from models.pipeline import ScoredImage
from models.quality.formulas import FORMULA_VERSION
from schemas.cloud_events import output_headers
from schemas.codec import encode_shadow_scored
from schemas.fallback import FallbackReason
from schemas.image_submitted import ImageSubmitted
from schemas.scored_face import Timings
from schemas.shadow_scored import ShadowScored
from streams.inference.circuit import Circuit
from streams.messages import Headers, Incoming, Outgoing
from streams.scoring.face_messages import SOURCE, model_names
from streams.scoring.outcome import FellBack
from streams.scoring.picture_source import PictureSource
from streams.scoring.reasons import SCORING_ERRORS, reason_for
from streams.scoring.scorer import ScoringPool, abandoned_by_a_stop
from streams.telemetry.handling import Handling
from streams.telemetry.metrics import outcome_of

log = structlog.get_logger(__name__)


class ShadowScorer:
    """Scores events for the topic ``shadow-scored``, with one attempt each.

    A picture behind a claim check is fetched with the usual retries.
    """

    def __init__(
        self,
        topic: str,
        pool: ScoringPool,
        pictures: PictureSource,
        *,
        circuit: Circuit,
        is_leaving: Callable[[], bool],
    ) -> None:
        self._topic = topic
        self._pool = pool
        self._pictures = pictures
        self._circuit = circuit
        self._is_leaving = is_leaving

    async def messages(
        self, outcome: FellBack, incoming: Incoming, handling: Handling
    ) -> list[Outgoing]:
        """Return the shadow of an event that was answered; empty where it has none.

        While the circuit is open no event is shadowed.
        """
        event = outcome.shadowed
        if event is None or not self._circuit.is_closed:
            return []
        try:
            async with self._pictures.picture_of(event, handling) as image:
                with abandoned_by_a_stop(self._is_leaving):
                    scored = await self._pool.score(
                        image, min_confidence=event.min_confidence, max_faces=event.max_faces
                    )
        except SCORING_ERRORS as error:
            reason = reason_for(error)
            handling.finish("shadow", outcome_of(reason))
            log.debug("shadow refused", reason=reason.value, event_id=str(event.event_id))
            record = _refused(event, reason)
        else:
            handling.finish("shadow", "success")
            record = self._record(event, scored, handling.milliseconds("fetch"))
        return [self._message(record, incoming.headers)]

    def _message(self, record: ShadowScored, sender_headers: Headers) -> Outgoing:
        return Outgoing(
            topic=self._topic,
            key=str(record.event_id).encode(),
            value=encode_shadow_scored(record),
            headers=output_headers(
                sender_headers,
                id=record.event_id,
                type="shadow-scored",
                source=SOURCE,
                time=record.scored_at,
            ),
        )

    def _record(
        self, event: ImageSubmitted, scored: ScoredImage, fetch_ms: float | None
    ) -> ShadowScored:
        face = scored.faces[0]
        return ShadowScored(
            event_id=event.event_id,
            face_count=len(scored.faces),
            detection_confidence=face.detection_confidence,
            quality=face.measures.quality,
            frontality=face.measures.frontality,
            symmetry=face.measures.symmetry,
            resolution=face.measures.resolution,
            confidence=face.measures.confidence,
            formula_version=str(FORMULA_VERSION),
            model=model_names(self._pool.pipeline),
            timings_ms=Timings(fetch=fetch_ms, **scored.timings_ms),
            scored_at=datetime.now(UTC),
        )


def _refused(event: ImageSubmitted, reason: FallbackReason) -> ShadowScored:
    return ShadowScored(
        event_id=event.event_id,
        face_count=0,
        fallback_reason=reason,
        scored_at=datetime.now(UTC),
    )

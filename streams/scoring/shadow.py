"""Shadow scoring: what would the real models have said of who is answered simulated?

Only users whom the rollout has not reached are shadowed. An event that asks for simulated scores
itself (``use_real_ml: false``) is not, and ``USE_REAL_ML=false`` turns shadows off too.
"""

from __future__ import annotations

from datetime import UTC, datetime

import structlog

from models.pipeline import ScoredImage
from models.quality.formulas import FORMULA_VERSION
from schemas.cloud_events import output_headers
from schemas.codec import decode_image_submitted, encode_shadow_scored
from schemas.fallback import FallbackReason
from schemas.headers import last_value
from schemas.image_submitted import ImageSubmitted
from schemas.scored_face import Timings
from schemas.shadow_scored import ShadowScored
from streams.inference.circuit import Circuit
from streams.inference.pool import InferencePool
from streams.kafka.topics import TopicNames
from streams.messages import Incoming, Outgoing
from streams.scoring.scorer import SCORING_ERRORS, SOURCE, Attempts, Scorer, model_names, reason_for
from streams.telemetry.metrics import Metrics, outcome_of

log = structlog.get_logger(__name__)

ROLLED_OUT = FallbackReason.ROLLED_OUT_TO_SIMULATED.value.encode()


class ShadowScorer:
    """Scores events for the topic ``shadow-scored``, once each.

    A picture behind a claim check is fetched with the usual retries.
    """

    def __init__(
        self,
        topics: TopicNames,
        scorer: Scorer,
        pool: InferencePool,
        *,
        enabled: bool,
        circuit: Circuit,
        metrics: Metrics,
    ) -> None:
        self._topics = topics
        self._scorer = scorer
        self._pool = pool
        self._enabled = enabled
        self._circuit = circuit
        self._metrics = metrics

    async def records(self, incoming: Incoming, answers: list[Outgoing]) -> list[Outgoing]:
        """The shadow of an event whose ``answers`` are published; empty when it has none.

        Nothing is tried while the circuit is open.
        """
        if not self._enabled or not self._circuit.is_closed or not _is_rolled_out(answers):
            return []
        event = decode_image_submitted(incoming.value, incoming.key, incoming.headers)
        try:
            async with self._scorer.picture_of(event, Attempts()) as (image, fetch_ms):
                with self._scorer.leaving_alone():
                    scored = await self._pool.score(
                        image, min_confidence=event.min_confidence, max_faces=event.max_faces
                    )
        except SCORING_ERRORS as error:
            reason = reason_for(error)
            self._metrics.operation("shadow", outcome_of(reason))
            log.debug("shadow refused", reason=reason.value, event_id=str(event.event_id))
            record = ShadowScored(
                event_id=event.event_id,
                face_count=0,
                fallback_reason=reason,
                scored_at=datetime.now(UTC),
            )
        else:
            self._metrics.operation("shadow", "success")
            record = self._record(event, scored, fetch_ms)
        return [
            Outgoing(
                topic=self._topics.shadow_scored,
                key=str(record.event_id).encode(),
                value=encode_shadow_scored(record),
                headers=output_headers(
                    incoming.headers,
                    id=record.event_id,
                    type="shadow-scored",
                    source=SOURCE,
                    time=record.scored_at,
                ),
            )
        ]

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


def _is_rolled_out(answers: list[Outgoing]) -> bool:
    # The headers of an answer are ours alone, those of a dead letter end with our failure.
    return last_value(answers[0].headers, "fallback_reason") == ROLLED_OUT

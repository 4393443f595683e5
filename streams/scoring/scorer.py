"""Scores one image-submitted event: it becomes its faces, or the reason why it falls back.

Nothing here publishes or acknowledges; ``handler.py`` publishes what ``Scorer.score`` returns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Protocol

import structlog

from models.errors import InferenceFailed, InferenceTerminated
from models.pipeline import FacePipeline, ScoredImage
from schemas.codec import decode_image_submitted
from schemas.errors import InvalidEvent
from schemas.fallback import FallbackReason
from schemas.image_submitted import ImageSubmitted
from schemas.scored_face import ModelNames, Timings
from streams.config.settings import Settings
from streams.dead_letters import Failure
from streams.errors import Abandoned, InferenceTimeout
from streams.inference.circuit import Circuit
from streams.kafka.topics import topic_names
from streams.messages import Incoming
from streams.scoring.face_messages import face_messages, model_names
from streams.scoring.outcome import FellBack, Scored
from streams.scoring.picture_source import PictureSource, Store
from streams.scoring.reasons import SCORING_ERRORS, reason_for
from streams.scoring.retries import Retries
from streams.scoring.rollout import simulation_reason
from streams.telemetry.handling import Handling
from streams.telemetry.metrics import outcome_of

log = structlog.get_logger(__name__)

#: Failures of an attempt that the next one may not have.
TRANSIENT = (InferenceTimeout, InferenceFailed, InferenceTerminated)


class ScoringPool(Protocol):
    """Scores pictures; see ``InferencePool``."""

    @property
    def pipeline(self) -> FacePipeline:
        """The loaded models."""

    async def score(self, image: bytes, *, min_confidence: float, max_faces: int) -> ScoredImage:
        """Score one picture. Raises ``ModelsError`` or ``InferenceTimeout``."""


class Scorer:
    """Turns image-submitted events into ``Scored`` or ``FellBack``."""

    def __init__(
        self,
        settings: Settings,
        pool: ScoringPool,
        store: Store,
        *,
        circuit: Circuit,
        is_leaving: Callable[[], bool],
        on_wait: Callable[[], None] = lambda: None,
    ) -> None:
        """``on_wait`` is called before each retry."""
        self._settings = settings
        self._topic = topic_names(settings).scored_face
        self._pool = pool
        self._circuit = circuit
        self._is_leaving = is_leaving
        self._retries = Retries(settings, is_leaving=is_leaving, on_wait=on_wait)
        self.pictures = PictureSource(
            store,
            self._retries,
            budget_bytes=settings.max_in_flight_mb * 1024 * 1024,
            largest_bytes=settings.max_image_bytes,
            is_leaving=is_leaving,
        )

    async def score(self, incoming: Incoming, handling: Handling) -> Scored | FellBack:
        """Decode, fetch and score an event.

        Raises ``Abandoned`` when the worker is leaving while a retry waits.
        """
        handling.record_queued()
        try:
            event = decode_image_submitted(incoming.value, incoming.key, incoming.headers)
        except InvalidEvent as error:
            return FellBack(Failure(FallbackReason.INVALID_EVENT, str(error)), None)
        handling.identify(event.event_id, event.user_id)
        if failure := simulation_reason(self._settings, event):
            return FellBack(failure, event if self._is_shadowed(failure) else None)
        if refusal := self._circuit.refusal():
            return FellBack(Failure(FallbackReason.CIRCUIT_OPEN, str(refusal)), None)
        try:
            async with self.pictures.picture_of(event, handling) as image:
                scored = await self._retries.run(
                    "real_ml",
                    lambda number: self._attempt(number, image, event, handling),
                    TRANSIENT,
                    handling,
                )
        except SCORING_ERRORS as error:
            failure = Failure(reason_for(error), str(error), handling.attempts)
            handling.finish("real_ml", outcome_of(failure.reason))
            return FellBack(failure, None)
        return self._scored(incoming, event, scored, handling)

    def _is_shadowed(self, failure: Failure) -> bool:
        return self._settings.shadow_ml and (
            failure.reason is FallbackReason.ROLLED_OUT_TO_SIMULATED
        )

    async def _attempt(
        self, number: int, image: bytes, event: ImageSubmitted, handling: Handling
    ) -> ScoredImage:
        handling.attempts = number - 1
        if refusal := self._circuit.refusal():
            raise refusal  # the circuit opened while this event was fetched, or waited to retry
        handling.attempts = number
        try:
            with abandoned_by_a_stop(self._is_leaving):
                return await self._pool.score(
                    image, min_confidence=event.min_confidence, max_faces=event.max_faces
                )
        except InferenceTimeout:
            handling.timeout("real_ml")
            raise

    def _scored(
        self, incoming: Incoming, event: ImageSubmitted, scored: ScoredImage, handling: Handling
    ) -> Scored:
        handling.finish("real_ml", "success")
        handling.record_stages_ms(scored.timings_ms)
        # A debug line: one line per event costs more CPU than the event's JSON.
        log.debug("event scored", faces=len(scored.faces), **handling.fields)
        timings = Timings(
            queued=handling.milliseconds("queued"),
            fetch=handling.milliseconds("fetch"),
            **scored.timings_ms,
        )
        return Scored(
            face_messages(
                event,
                scored,
                model=self._model,
                timings=timings,
                topic=self._topic,
                sender_headers=incoming.headers,
                legacy=self._settings.result_format == "legacy",
            )
        )

    @cached_property
    def _model(self) -> ModelNames:
        return model_names(self._pool.pipeline)


@contextmanager
def abandoned_by_a_stop(is_leaving: Callable[[], bool]) -> Iterator[None]:
    """Raise ``Abandoned`` for an inference that a stop has cut off: the picture did not fail."""
    try:
        yield
    except InferenceTerminated:
        if is_leaving():
            raise Abandoned from None
        raise

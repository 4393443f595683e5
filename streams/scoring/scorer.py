"""What happens to one image-submitted event: it becomes its answers, or a dead letter.

Nothing here publishes or acknowledges; ``Scorer.answers`` returns what is to be published.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import cached_property
from typing import TypeVar

import numpy as np
import structlog
from numpy.typing import NDArray

from models.errors import (
    ImageTooLarge,
    InferenceFailed,
    InferenceTerminated,
    LowConfidence,
    ModelsError,
    NoFaceFound,
    UnreadableImage,
)
from models.pipeline import Face, FacePipeline, ScoredImage
from models.quality.formulas import FORMULA_VERSION
from schemas.cloud_events import output_headers
from schemas.codec import decode_image_submitted, encode_scored_face
from schemas.errors import InvalidEvent
from schemas.fallback import FallbackReason
from schemas.image_submitted import ImageSubmitted
from schemas.scored_face import (
    BoundingBox,
    Landmarks,
    Measures,
    ModelNames,
    ScoredFace,
    Timings,
    face_id_of,
)
from streams.config.settings import Settings
from streams.dead_letters import OF_CROWDS, Failure, fallback_message
from streams.errors import Abandoned, InferenceTimeout
from streams.inference.circuit import Circuit, CircuitOpen
from streams.inference.pool import InferencePool
from streams.kafka.topics import TopicNames
from streams.messages import Incoming, Outgoing
from streams.pictures.memory_budget import PictureRoom
from streams.pictures.picture_store import (
    FetchedImageTooLarge,
    ImageForbidden,
    ImageMissing,
    ImageStore,
    ImageStoreError,
    ImageTimeout,
    ImageUnavailable,
)
from streams.scoring.retries import with_retries
from streams.scoring.rollout import not_for_real
from streams.telemetry.metrics import Metrics, Tried, outcome_of

T = TypeVar("T")

log = structlog.get_logger(__name__)

SOURCE = "facestream"

#: Which reason each deterministic failure is published under.
REASONS: dict[type[Exception], FallbackReason] = {
    UnreadableImage: FallbackReason.UNREADABLE_IMAGE,
    ImageTooLarge: FallbackReason.IMAGE_TOO_LARGE,
    NoFaceFound: FallbackReason.NO_FACE,
    LowConfidence: FallbackReason.LOW_CONFIDENCE,
    InferenceFailed: FallbackReason.INFERENCE_FAILED,
    InferenceTerminated: FallbackReason.INFERENCE_FAILED,
    InferenceTimeout: FallbackReason.INFERENCE_TIMEOUT,
    FetchedImageTooLarge: FallbackReason.IMAGE_TOO_LARGE,
    ImageForbidden: FallbackReason.IMAGE_UNAVAILABLE,
    ImageMissing: FallbackReason.IMAGE_UNAVAILABLE,
    ImageUnavailable: FallbackReason.IMAGE_UNAVAILABLE,
    CircuitOpen: FallbackReason.CIRCUIT_OPEN,
}

#: What an event may fail with that is to be scored.
SCORING_ERRORS = (ModelsError, InferenceTimeout, ImageStoreError, CircuitOpen)


class WrongDigest(ImageStoreError):
    """The picture's sha256 is not the one that the event promised.

    An event that carries its picture contradicts itself; behind a claim check, the picture that
    was meant is not there.
    """

    def __init__(self, expected: str, actual: str, *, inline: bool) -> None:
        super().__init__(f"image_sha256: expected {expected}, the picture has {actual}")
        self.reason = FallbackReason.INVALID_EVENT if inline else FallbackReason.IMAGE_UNAVAILABLE


class Scorer:
    """Turns image-submitted events into scored-face events."""

    def __init__(
        self,
        settings: Settings,
        topics: TopicNames,
        pool: InferencePool,
        images: ImageStore,
        is_leaving: Callable[[], bool],
        *,
        circuit: Circuit,
        metrics: Metrics,
        on_wait: Callable[[], None] = lambda: None,
    ) -> None:
        """``on_wait`` is told of every failed attempt that will be made again."""
        self._settings = settings
        self._topics = topics
        self._pool = pool
        self._images = images
        self._room = PictureRoom(
            total=settings.max_in_flight_mb * 1024 * 1024,
            largest=settings.max_image_bytes,
            is_leaving=is_leaving,
        )
        self._is_leaving = is_leaving
        self._circuit = circuit
        self._metrics = metrics
        self._on_wait = on_wait

    async def answers(self, incoming: Incoming) -> list[Outgoing]:
        """The messages that answer an event: its faces, or one dead letter. Never empty.

        Raises ``Abandoned`` when the worker is leaving while a retry waits.
        """
        queued_ms = None
        if incoming.timestamp:
            queued_ms = (time.time() - incoming.timestamp) * 1000
            self._metrics.stage("queued", queued_ms / 1000)
        where: dict[str, object] = {"partition": incoming.partition, "offset": incoming.offset}
        try:
            event = decode_image_submitted(incoming.value, incoming.key, incoming.headers)
        except InvalidEvent as error:
            failure = Failure(FallbackReason.INVALID_EVENT, str(error))
            return [self._dead_letter(incoming, failure, where)]

        where |= {"event_id": str(event.event_id), "user_id": event.user_id}
        if no := not_for_real(self._settings, event):
            return [self._dead_letter(incoming, Failure(no.reason, no.detail), where)]
        if refusal := self._circuit.refusal():
            failure = Failure(FallbackReason.CIRCUIT_OPEN, str(refusal))
            return [self._dead_letter(incoming, failure, where)]
        attempts = Attempts()
        try:
            async with self.picture_of(event, attempts) as (image, fetch_ms):
                scored = await self._score(image, event, attempts)
        except SCORING_ERRORS as error:
            failure = Failure(reason_for(error), str(error), attempts.count)
            self._metrics.operation("real_ml", outcome_of(failure.reason))
            return [self._dead_letter(incoming, failure, where)]

        self._metrics.operation("real_ml", "success")
        self._metrics.stages_ms(scored.timings_ms)
        timings = Timings(queued=queued_ms, fetch=fetch_ms, **scored.timings_ms)
        # The counters tell of every event; a line for each would cost more than its JSON.
        log.debug("event scored", faces=len(scored.faces), **where)
        return [
            self._face_message(incoming, event, scored, index, timings)
            for index in range(len(scored.faces))
        ]

    @cached_property
    def _model(self) -> ModelNames:
        return model_names(self._pool.pipeline)

    def too_large_to_answer(self, incoming: Incoming, error: Exception) -> Outgoing:
        """The dead letter of an event whose answer does not fit its topic."""
        failure = Failure(FallbackReason.INVALID_EVENT, f"the answer does not fit: {error}", 1)
        where: dict[str, object] = {"partition": incoming.partition, "offset": incoming.offset}
        return self._dead_letter(incoming, failure, where)

    def _dead_letter(
        self, incoming: Incoming, failure: Failure, where: dict[str, object]
    ) -> Outgoing:
        """Every fallback has its reason in the log, in a counter and in the message's headers."""
        write = log.debug if failure.reason in OF_CROWDS else log.info
        write("event falls back", reason=failure.reason.value, detail=failure.detail, **where)
        self._metrics.fallback(failure.reason)
        return fallback_message(incoming, failure, self._topics.simulated_fallback)

    @asynccontextmanager
    async def picture_of(
        self, event: ImageSubmitted, attempts: Attempts
    ) -> AsyncIterator[tuple[bytes, float | None]]:
        """The picture's bytes, checked against the promised digest, and the fetch's time in ms.

        A fetched picture has its room in memory until the block ends. Raises ``ImageStoreError``,
        or ``Abandoned`` when the worker is leaving while it waits.
        """
        if event.image is not None:
            _must_be_as_promised(event, event.image)
            yield event.image, None
            return
        async with self._room.taken() as room:
            started = time.perf_counter()
            image = await self._fetch(str(event.image_uri), attempts)
            room.shrink(len(image))
            fetch_ms = (time.perf_counter() - started) * 1000
            self._metrics.stage("fetch", fetch_ms / 1000)
            _must_be_as_promised(event, image)
            yield image, fetch_ms

    async def _fetch(self, uri: str, attempts: Attempts) -> bytes:
        async def attempt(number: int) -> bytes:
            attempts.count = number
            with self._counting_timeouts("fetch", ImageTimeout):
                return await self._images.fetch(uri)

        return await self._with_retries("fetch", attempt, ImageUnavailable)

    async def _score(self, image: bytes, event: ImageSubmitted, attempts: Attempts) -> ScoredImage:
        async def attempt(number: int) -> ScoredImage:
            attempts.count = number - 1
            if refusal := self._circuit.refusal():
                raise refusal  # it opened while this event was fetched, or waited to retry
            attempts.count = number
            with self.leaving_alone(), self._counting_timeouts("real_ml", InferenceTimeout):
                return await self._pool.score(
                    image, min_confidence=event.min_confidence, max_faces=event.max_faces
                )

        transient = (InferenceTimeout, InferenceFailed, InferenceTerminated)
        return await self._with_retries("real_ml", attempt, *transient)

    @contextmanager
    def leaving_alone(self) -> Iterator[None]:
        """An inference that a stop has cut off says nothing about its picture: ``Abandoned``."""
        try:
            yield
        except InferenceTerminated:
            if self._is_leaving():
                raise Abandoned from None
            raise

    async def _with_retries(
        self,
        tried: Tried,
        attempt: Callable[[int], Awaitable[T]],
        *transient: type[Exception],
    ) -> T:
        def on_retry() -> None:
            self._metrics.retry(tried)
            # All attempts together may take longer than STALLED_AFTER_S. They are few, so that
            # this puts a true stall off and hides none.
            self._on_wait()

        return await with_retries(attempt, self._settings, transient, self._is_leaving, on_retry)

    @contextmanager
    def _counting_timeouts(self, tried: Tried, kind: type[Exception]) -> Iterator[None]:
        try:
            yield
        except kind:
            self._metrics.timeout(tried)
            raise

    def _face_message(
        self,
        incoming: Incoming,
        event: ImageSubmitted,
        scored: ScoredImage,
        index: int,
        timings: Timings,
    ) -> Outgoing:
        face = scored.faces[index]
        x, y, width, height = face.bounding_box
        now = datetime.now(UTC)
        record = ScoredFace(
            event_id=event.event_id,
            face_id=face_id_of(event.event_id, index),
            user_id=event.user_id,
            face_index=index,
            face_count=len(scored.faces),
            bounding_box=BoundingBox(x=x, y=y, width=width, height=height),
            landmarks=landmarks_of(face.landmarks),
            detection_confidence=face.detection_confidence,
            embedding=face.embedding.tolist(),
            embedding_size=len(face.embedding),
            quality=face.measures.quality,
            frontality=face.measures.frontality,
            symmetry=face.measures.symmetry,
            resolution=face.measures.resolution,
            confidence=face.measures.confidence,
            measures=_measures(face),
            formula_version=str(FORMULA_VERSION),
            provenance="real",
            fallback_reason=None,
            model=self._model,
            timings_ms=timings,
            image_sha256=scored.image_sha256,
            submitted_at=event.submitted_at,
            scored_at=now,
            metadata=event.metadata,
        )
        return Outgoing(
            topic=self._topics.scored_face,
            key=event.user_id.encode(),
            value=encode_scored_face(record, legacy=self._settings.result_format == "legacy"),
            headers=output_headers(
                incoming.headers,
                id=str(record.face_id),
                type="scored-face",
                source=SOURCE,
                time=now,
            ),
        )


def _must_be_as_promised(event: ImageSubmitted, image: bytes) -> None:
    """Raises ``WrongDigest`` where the event promises another picture."""
    if event.image_sha256 is None:
        return
    actual = hashlib.sha256(image).hexdigest()
    if actual != event.image_sha256.lower():
        raise WrongDigest(event.image_sha256.lower(), actual, inline=event.image is not None)


class Attempts:
    """How many attempts the step now running has had; 0 before the first step."""

    count = 0


def reason_for(error: Exception) -> FallbackReason:
    """The reason that one of ``SCORING_ERRORS`` is published under."""
    if isinstance(error, WrongDigest):
        return error.reason
    for kind, reason in REASONS.items():
        if isinstance(error, kind):
            return reason
    return FallbackReason.INFERENCE_FAILED


def model_names(pipeline: FacePipeline) -> ModelNames:
    """The models of a pipeline, as an event names them."""
    detector, embedder, assessor = pipeline.detector, pipeline.embedder, pipeline.assessor
    return ModelNames(
        detector=detector.name,
        detector_sha256=detector.sha256,
        embedder=embedder.name,
        embedder_sha256=embedder.sha256,
        assessor=None if assessor is None else assessor.name,
        assessor_sha256=None if assessor is None else assessor.sha256,
    )


def landmarks_of(points: NDArray[np.float32]) -> Landmarks:
    """The record of a detector's landmarks, (5, 2) float32, source pixels."""
    left_eye, right_eye, nose, mouth_left, mouth_right = points.tolist()
    return Landmarks(
        left_eye=left_eye,
        right_eye=right_eye,
        nose=nose,
        mouth_left=mouth_left,
        mouth_right=mouth_right,
    )


def _measures(face: Face) -> Measures:
    raw = face.measures
    return Measures(
        yaw=raw.yaw,
        pitch=raw.pitch,
        roll=raw.roll,
        interocular_px=raw.interocular_px,
        sharpness=raw.sharpness,
        brightness=raw.brightness,
        contrast=raw.contrast,
        exposure=raw.exposure,
        noise=raw.noise,
        embedding_norm=raw.embedding_norm,
        recognisability=raw.recognisability,
        learned_quality=raw.learned_quality,
    )

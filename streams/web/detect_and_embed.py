"""``/api/detect-face`` and ``/api/extract-embedding``, the calls of the older services."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from aiohttp import web

from models.detection.detector import Detection
from schemas.http_api import (
    DEFAULT_MIN_CONFIDENCE,
    DetectFaceAnswer,
    DetectFaceRequest,
    ExtractedEmbedding,
    ExtractEmbeddingAnswer,
    ExtractEmbeddingRequest,
    read_request,
)
from schemas.legacy_result import DetectedFace
from schemas.scored_face import BoundingBox
from streams.errors import Busy, InferenceTimeout
from streams.runtime import Runtime
from streams.scoring.face_messages import landmarks_of
from streams.web.admission import Intake
from streams.web.answers import record_answer
from streams.web.request_body import read_body

T = TypeVar("T")

#: The longest time that the pool takes to end a late inference.
GRACE_S = 1.0


class DetectAndEmbedPages:
    """Detection and embedding on the worker's own models, without Kafka."""

    def __init__(self, runtime: Runtime, intake: Intake) -> None:
        self._runtime = runtime
        self._intake = intake
        # The longest wait for a thread; the older clients have the same time-out.
        self._max_wait_s = runtime.settings.ml_service_timeout / 1000

    async def detect_face(self, request: web.Request) -> web.Response:
        """Answer with all faces of a picture, the most prominent first; it may have none."""
        with self._intake.admit(request):
            body = await read_body(request, self._runtime.settings)
            wanted = read_request(DetectFaceRequest, body)
            minimum = wanted.min_confidence
            if minimum is None:
                minimum = DEFAULT_MIN_CONFIDENCE
            found = await self._in_time(
                self._runtime.pool.detect(
                    wanted.image, min_confidence=minimum, max_wait_s=self._max_wait_s
                )
            )
        message = None if found.faces else f"no face with a confidence of {minimum} or more"
        faces = tuple(_detected(face) for face in found.faces)
        return record_answer(DetectFaceAnswer(faces=faces, message=message))

    async def extract_embedding(self, request: web.Request) -> web.Response:
        """Answer with the embedding of the most prominent face, or of an aligned picture itself."""
        with self._intake.admit(request):
            body = await read_body(request, self._runtime.settings)
            wanted = read_request(ExtractEmbeddingRequest, body)
            embed = self._embed_aligned if wanted.aligned else self._embed_most_prominent
            embedding = await self._in_time(embed(wanted.image))
        return record_answer(ExtractEmbeddingAnswer(embedding=embedding))

    async def _embed_aligned(self, image: bytes) -> ExtractedEmbedding:
        crop = await self._runtime.pool.embed_aligned(image, max_wait_s=self._max_wait_s)
        return ExtractedEmbedding(
            embedding=tuple(crop.embedding.tolist()),
            quality=crop.quality,
            confidence=crop.confidence,
        )

    async def _embed_most_prominent(self, image: bytes) -> ExtractedEmbedding:
        scored = await self._runtime.pool.score(
            image,
            min_confidence=DEFAULT_MIN_CONFIDENCE,
            max_faces=1,
            max_wait_s=self._max_wait_s,
        )
        face = scored.faces[0]
        return ExtractedEmbedding(
            embedding=tuple(face.embedding.tolist()),
            quality=face.measures.quality,
            confidence=face.measures.confidence,
        )

    async def _in_time(self, inference: Awaitable[T]) -> T:
        """Return the result of an inference. Raises ``Busy`` or ``InferenceTimeout``.

        The pool limits the wait for a thread and the inference itself, and reports a time-out to
        the circuit. The time-out here is longer than both together: if it ended an inference first,
        the circuit would never learn that the models hang.
        """
        timeout_s = 2 * self._max_wait_s + GRACE_S
        try:
            async with asyncio.timeout(timeout_s):
                return await inference
        except InferenceTimeout:
            self._runtime.metrics.timeout("real_ml")
            raise
        except TimeoutError:
            self._runtime.metrics.timeout("real_ml")
            raise Busy(
                f"there was no result in {timeout_s * 1000:.0f} ms; try again soon"
            ) from None


def _detected(face: Detection) -> DetectedFace:
    x, y, width, height = face.bounding_box
    return DetectedFace(
        bbox=BoundingBox(x=x, y=y, width=width, height=height),
        landmarks=landmarks_of(face.landmarks),
        confidence=face.detection_confidence,
    )

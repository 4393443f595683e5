"""The older services' calls: detect-face and extract-embedding, through the same models."""

from __future__ import annotations

from typing import Any

from models.detection.detector import Detection
from schemas.http_api import (
    DEFAULT_MIN_CONFIDENCE,
    DetectFaceAnswer,
    DetectFaceRequest,
    ExtractedEmbedding,
    ExtractEmbeddingAnswer,
    ExtractEmbeddingRequest,
)
from schemas.legacy_result import DetectedFace
from schemas.scored_face import BoundingBox
from streams.app import app
from streams.scoring.scorer import landmarks_of
from streams.web.api_view import ApiView, admitted, asked
from streams.web.requests import in_time, patience_s

patience = patience_s(app.settings)


@app.page("/api/detect-face")
class DetectFace(ApiView):
    """Every face of a picture."""

    async def post(self, request: Any) -> Any:
        """The faces, the most prominent first; none is an answer, not a failure."""
        with admitted(request):
            wanted = await asked(DetectFaceRequest, request)
            minimum = wanted.min_confidence
            if minimum is None:
                minimum = DEFAULT_MIN_CONFIDENCE
            work = app.runtime.pool.detect(
                wanted.image, min_confidence=minimum, patience_s=patience
            )
            found = await in_time(work, app.settings, _note_timeout)
        message = None if found.faces else f"no face with a confidence of {minimum} or more"
        faces = tuple(_detected(face) for face in found.faces)
        return self.answer(DetectFaceAnswer(faces=faces, message=message))


@app.page("/api/extract-embedding")
class ExtractEmbedding(ApiView):
    """The embedding of one face."""

    async def post(self, request: Any) -> Any:
        """That of the most prominent face, or of the picture itself where it is aligned."""
        with admitted(request):
            wanted = await asked(ExtractEmbeddingRequest, request)
            work = _aligned(wanted.image) if wanted.aligned else _most_prominent(wanted.image)
            embedding = await in_time(work, app.settings, _note_timeout)
        return self.answer(ExtractEmbeddingAnswer(embedding=embedding))


def _note_timeout() -> None:
    app.runtime.metrics.timeout("real_ml")


async def _aligned(image: bytes) -> ExtractedEmbedding:
    crop = await app.runtime.pool.embed_aligned(image, patience_s=patience)
    return ExtractedEmbedding(
        embedding=tuple(crop.embedding.tolist()), quality=crop.quality, confidence=crop.confidence
    )


async def _most_prominent(image: bytes) -> ExtractedEmbedding:
    scored = await app.runtime.pool.score(
        image, min_confidence=DEFAULT_MIN_CONFIDENCE, max_faces=1, patience_s=patience
    )
    face = scored.faces[0]
    return ExtractedEmbedding(
        embedding=tuple(face.embedding.tolist()),
        quality=face.measures.quality,
        confidence=face.measures.confidence,
    )


def _detected(face: Detection) -> DetectedFace:
    x, y, width, height = face.bounding_box
    return DetectedFace(
        bbox=BoundingBox(x=x, y=y, width=width, height=height),
        landmarks=landmarks_of(face.landmarks),
        confidence=face.detection_confidence,
    )

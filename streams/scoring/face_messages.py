"""Scored faces as messages of the topic scored-face."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from models.pipeline import Face, FacePipeline, ScoredImage
from models.quality.formulas import FORMULA_VERSION
from schemas.cloud_events import output_headers
from schemas.codec import encode_scored_face
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
from streams.messages import Headers, Outgoing

SOURCE = "facestream"


def face_messages(
    event: ImageSubmitted,
    scored: ScoredImage,
    *,
    model: ModelNames,
    timings: Timings,
    topic: str,
    sender_headers: Headers,
    legacy: bool,
) -> tuple[Outgoing, ...]:
    """Return one message for each face of a scored picture.

    ``sender_headers``: those of the event, whose trace context travels on. ``legacy``: with the
    older names as well (RESULT_FORMAT).
    """
    now = datetime.now(UTC)
    records = (
        _record(event, scored, index, model=model, timings=timings, scored_at=now)
        for index in range(len(scored.faces))
    )
    return tuple(
        face_message(record, topic=topic, sender_headers=sender_headers, legacy=legacy)
        for record in records
    )


def face_message(
    record: ScoredFace, *, topic: str, sender_headers: Headers, legacy: bool
) -> Outgoing:
    """Return the message of one scored face, real or simulated; its key is the user."""
    return Outgoing(
        topic=topic,
        key=record.user_id.encode(),
        value=encode_scored_face(record, legacy=legacy),
        headers=output_headers(
            sender_headers,
            id=str(record.face_id),
            type="scored-face",
            source=SOURCE,
            time=record.scored_at,
        ),
    )


def _record(
    event: ImageSubmitted,
    scored: ScoredImage,
    index: int,
    *,
    model: ModelNames,
    timings: Timings,
    scored_at: datetime,
) -> ScoredFace:
    face = scored.faces[index]
    x, y, width, height = face.bounding_box
    return ScoredFace(
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
        model=model,
        timings_ms=timings,
        image_sha256=scored.image_sha256,
        submitted_at=event.submitted_at,
        scored_at=scored_at,
        metadata=event.metadata,
    )


def model_names(pipeline: FacePipeline) -> ModelNames:
    """Return the models of a pipeline, as an event names them."""
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
    """Return the record of a detector's landmarks, (5, 2) float32, source pixels."""
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

"""The change that a scored-face event makes to the index."""

from __future__ import annotations

from schemas.fallback import FallbackReason
from schemas.scored_face import ModelNames, ScoredFace
from streams.index.model_contract import ModelContract
from streams.index.points import JSON, FacePoint, GoneFaces

#: The models' verdicts that a picture has no usable face. The event's points are removed.
#: Other reasons say nothing about the picture, and leave points of an earlier delivery.
NO_FACES = frozenset({FallbackReason.NO_FACE, FallbackReason.LOW_CONFIDENCE})


def change_for(face: ScoredFace) -> FacePoint | GoneFaces | None:
    """Return the change that a scored-face event makes to the index, if any."""
    if face.provenance == "simulated" or face.model is None:
        gone = face.fallback_reason in NO_FACES
        return GoneFaces(event_id=str(face.event_id)) if gone else None
    return FacePoint(
        face_id=str(face.face_id),
        event_id=str(face.event_id),
        user_id=face.user_id,
        face_index=face.face_index,
        face_count=face.face_count,
        vector=face.embedding,
        contract=_contract(face, face.model),
        payload=_payload(face, face.model),
    )


def _payload(face: ScoredFace, models: ModelNames) -> dict[str, JSON]:
    return {
        "quality": face.quality,
        "confidence": face.confidence,
        "image_sha256": face.image_sha256,
        "scored_at": face.scored_at.isoformat(),
        "formula_version": face.formula_version,
        "embedder_sha256": models.embedder_sha256,
    }


def _contract(face: ScoredFace, models: ModelNames) -> ModelContract:
    return ModelContract(
        detector=models.detector,
        detector_sha256=models.detector_sha256,
        embedder=models.embedder,
        embedder_sha256=models.embedder_sha256,
        embedding_size=face.embedding_size,
        formula_version=face.formula_version,
    )

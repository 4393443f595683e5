"""Contracts, points and events that the tests of the index share."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from schemas.fallback import FallbackReason
from schemas.scored_face import (
    BoundingBox,
    Landmarks,
    ModelNames,
    ScoredFace,
    face_id_of,
)
from streams.index.index_config import IndexConfig
from streams.index.model_contract import ModelContract
from streams.index.points import JSON, FacePoint
from streams.index.vector_index import VectorIndex

A, B, C = (str(uuid.UUID(int=number)) for number in (1, 2, 3))
"""Event ids."""

X, Y = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)
"""Orthogonal vectors."""

COLLECTION = "faces-sface-3"
SCORED_AT = datetime(2024, 5, 1, 12, tzinfo=UTC)


def contract(embedder: str = "sface", size: int = 3) -> ModelContract:
    """The contract of some models."""
    return ModelContract("yunet", "a" * 64, embedder, "b" * 64, size, "2")


def face_id(event_id: str, index: int) -> str:
    """The id of a face, as a string."""
    return str(face_id_of(UUID(event_id), index))


def face(
    event_id: str,
    index: int = 0,
    count: int = 1,
    *,
    user: str = "ann",
    vector: Sequence[float] = X,
    embedder: str = "sface",
    **payload: JSON,
) -> FacePoint:
    """A face of an event, ready to be indexed."""
    made_by = contract(embedder, len(vector))
    return FacePoint(
        face_id(event_id, index), event_id, user, index, count, vector, made_by, payload
    )


def folder_config(path: Path, models: ModelContract | None = None, **options: Any) -> IndexConfig:
    """An embedded index."""
    return IndexConfig(contract=models or contract(), path=path, **options)


async def open_folder(
    path: Path, models: ModelContract | None = None, **options: Any
) -> VectorIndex:
    """Open an embedded index."""
    return await VectorIndex.open(folder_config(path, models, **options))


def scored(event_id: UUID | None = None, index: int = 0, **fields: Any) -> ScoredFace:
    """A scored-face event with real scores."""
    event_id = event_id or uuid4()
    defaults: dict[str, Any] = {
        "event_id": event_id,
        "face_id": face_id_of(event_id, index),
        "user_id": "user-1",
        "face_index": index,
        "face_count": index + 1,
        "bounding_box": BoundingBox(x=0.0, y=0.0, width=10.0, height=10.0),
        "landmarks": Landmarks(
            left_eye=(1.0, 1.0),
            right_eye=(2.0, 1.0),
            nose=(1.5, 2.0),
            mouth_left=(1.0, 3.0),
            mouth_right=(2.0, 3.0),
        ),
        "embedding": (0.6, 0.8),
        "embedding_size": 2,
        **dict.fromkeys(("quality", "frontality", "symmetry", "resolution", "confidence"), 0.5),
        "formula_version": "1",
        "provenance": "real",
        "model": ModelNames(
            detector="yunet", detector_sha256="a" * 64, embedder="sface", embedder_sha256="b" * 64
        ),
        "image_sha256": "c" * 64,
        "scored_at": SCORED_AT,
    }
    return ScoredFace(**{**defaults, **fields})


def simulated(reason: FallbackReason, event_id: UUID | None = None) -> ScoredFace:
    """A scored-face event with simulated scores."""
    return scored(event_id, provenance="simulated", fallback_reason=reason, model=None)

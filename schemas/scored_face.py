"""``scored-face``: one face of a submitted picture, with its embedding and scores."""

from __future__ import annotations

import math
from array import array
from functools import lru_cache
from typing import Annotated, Literal, Self
from uuid import UUID, uuid5

import numpy as np
import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    PlainSerializer,
    model_validator,
)

from schemas.errors import inconsistent
from schemas.fallback import FallbackReason
from schemas.field_types import EventId, Instant, Metadata, Sha256Hex, Share, UserId

# Fields of a real face, besides its embedding, that a simulated one may lack.
REAL_HAS = ("bounding_box", "landmarks", "model")


@lru_cache(maxsize=1024)  # called when a face is created, validated and indexed
def face_id_of(event_id: UUID, face_index: int) -> UUID:
    """Derive the id of a face: the UUIDv5 of its index in the namespace of its event.

    Scoring an event again gives the same ids, so a repeat overwrites and never duplicates.
    """
    return uuid5(event_id, str(face_index))


def _to_float32(values: tuple[float, ...]) -> tuple[float, ...]:
    rounded = tuple(array("f", values))
    # A number that is not finite makes the sum so; finite float32 cannot, as it is a float64.
    if not math.isfinite(sum(rounded)):
        raise ValueError("a number beyond the range of float32")
    return rounded


def _shortest_float32(values: tuple[float, ...]) -> list[float]:
    """Return the shortest decimals for the same float32: at most 9 digits, not a float64's 17."""
    text = orjson.dumps(np.array(values, dtype=np.float32), option=orjson.OPT_SERIALIZE_NUMPY)
    shortest: list[float] = orjson.loads(text)
    return shortest


# Python callers may pass a list; the frozen record holds a tuple.
Point = Annotated[tuple[float, float], Field(strict=False)]
# Far above any embedder's. FailFast stops at the first wrong number: one finding per number would
# turn megabytes of them into gigabytes.
MAX_EMBEDDING_SIZE = 8192
Embedding = Annotated[
    tuple[float, ...],
    Field(strict=False, max_length=MAX_EMBEDDING_SIZE),
    FailFast(),
    AfterValidator(_to_float32),
    PlainSerializer(_shortest_float32, return_type=list[float], when_used="json"),
]
NonNegative = Annotated[float, Field(ge=0)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


class BoundingBox(_Part):
    """Source pixels after EXIF orientation; may extend beyond the picture."""

    x: float = Field(description="Left edge.")
    y: float = Field(description="Top edge.")
    width: float = Field(gt=0)
    height: float = Field(gt=0)


class Landmarks(_Part):
    """Points [x, y] in source pixels; left and right as seen when the face is upright."""

    left_eye: Point
    right_eye: Point
    nose: Point
    mouth_left: Point
    mouth_right: Point


class Measures(_Part):
    """The measures that the scores are computed from; null when not measured."""

    yaw: float | None = Field(default=None, description="Degrees.")
    pitch: float | None = Field(default=None, description="Degrees.")
    roll: float | None = Field(default=None, description="Degrees.")
    interocular_px: NonNegative | None = Field(
        default=None, description="Distance between the eyes, in source pixels."
    )
    sharpness: float | None = Field(default=None, description="0 (flat) to 1.")
    brightness: float | None = Field(default=None, description="Mean luma, 0 to 1.")
    contrast: NonNegative | None = Field(
        default=None, description="Standard deviation of luma, 0 to 1."
    )
    exposure: Share | None = Field(
        default=None, description="1 in ordinary light; less when dark, overexposed or flat."
    )
    noise: NonNegative | None = Field(
        default=None, description="Standard deviation, in grey levels of 0 to 255."
    )
    embedding_norm: NonNegative | None = Field(
        default=None, description="L2 norm before normalisation; each embedder has its own scale."
    )
    recognisability: Share | None = Field(
        default=None,
        description="The norm scaled to 0 to 1; null when the embedder's norms are unknown.",
    )
    learned_quality: float | None = Field(
        default=None,
        description="Output of the quality model, on its own scale, higher is better; not part of "
        "quality. Null without a quality model.",
    )


class ModelNames(_Part):
    """Which models scored the face, and the SHA-256 of their weight files."""

    model_config = ConfigDict(title="Model")

    detector: str = Field(min_length=1)
    detector_sha256: Sha256Hex
    embedder: str = Field(min_length=1)
    embedder_sha256: Sha256Hex
    assessor: str | None = Field(
        default=None, min_length=1, description="The model of learned_quality, if one is used."
    )
    assessor_sha256: Sha256Hex | None = None


class Timings(_Part):
    """Milliseconds spent; null for a step that did not run."""

    queued: float | None = Field(
        default=None,
        description="From submission to start; negative when the two clocks disagree.",
    )
    fetch: NonNegative | None = None
    decode: NonNegative | None = None
    detect: NonNegative | None = None
    align: NonNegative | None = None
    embed: NonNegative | None = None
    assess: NonNegative | None = None


class ScoredFace(_Part):
    """One face. The record key is ``user_id``; a picture with three faces gives three messages.

    ``provenance`` is "real" when the models scored the face; it then has ``bounding_box``,
    ``landmarks``, ``model`` and a non-empty ``embedding``. A "simulated" face answers an event
    that could not be scored: ``fallback_reason`` says why, and the face is never indexed.

    The embedding is L2-normalised float32, written with the fewest digits that identify each
    float32, at most nine. All scores range from 0 (worst) to 1 (best).
    """

    model_config = ConfigDict(title="scored-face")

    event_id: EventId = Field(description="The image-submitted event that this message answers.")
    face_id: EventId = Field(description="UUIDv5 of face_index in the namespace event_id.")
    user_id: UserId
    face_index: int = Field(ge=0, description="Its position among the faces, most prominent first.")
    face_count: int = Field(ge=1, description="How many faces of the picture were scored.")
    bounding_box: BoundingBox | None = None
    landmarks: Landmarks | None = None
    detection_confidence: Share | None = None
    embedding: Embedding = Field(description="L2-normalised float32.")
    embedding_size: int = Field(ge=0, description="Length of embedding.")
    quality: Share
    frontality: Share
    symmetry: Share
    resolution: Share
    confidence: Share = Field(
        description="How certain it is that this is a face, and one that can be compared."
    )
    measures: Measures = Measures()
    formula_version: str = Field(
        min_length=1, description="Version of the formulas behind the scores."
    )
    provenance: Literal["real", "simulated"]
    fallback_reason: Annotated[FallbackReason, Field(strict=False)] | None = Field(
        default=None, description="Why the face is simulated; null when it is real."
    )
    model: ModelNames | None = None
    timings_ms: Timings | None = None
    image_sha256: Sha256Hex | None = Field(
        default=None, description="SHA-256 of the picture's file."
    )
    submitted_at: Instant | None = None
    scored_at: Instant
    metadata: Metadata = Field(
        default_factory=dict, description="Copied from the event, types unchanged."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.embedding_size != len(self.embedding):
            raise inconsistent(
                "embedding_size", f"{len(self.embedding)}, as embedding has", self.embedding_size
            )
        if self.face_index >= self.face_count:
            raise inconsistent(
                "face_index", f"less than face_count ({self.face_count})", self.face_index
            )
        face_id = face_id_of(self.event_id, self.face_index)
        if self.face_id != face_id:
            raise inconsistent("face_id", f"{face_id}, from event_id and face_index", self.face_id)
        self._check_provenance()
        return self

    def _check_provenance(self) -> None:
        if self.provenance == "simulated":
            if self.fallback_reason is None:
                raise inconsistent(
                    "fallback_reason", "a reason, because provenance is simulated", "null"
                )
            return
        if self.fallback_reason is not None:
            raise inconsistent(
                "fallback_reason", "null, because provenance is real", self.fallback_reason
            )
        for name in REAL_HAS:
            if getattr(self, name) is None:
                raise inconsistent(name, "an object, because provenance is real", "null")
        if not self.embedding:
            raise inconsistent("embedding", "numbers, because provenance is real", "an empty array")

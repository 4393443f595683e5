"""`scored-face`: one face of a submitted picture, with its embedding and scores."""

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
from pydantic_core import PydanticCustomError

from schemas.fallback import FallbackReason
from schemas.field_types import EventId, Instant, Metadata, Sha256Hex, Share, UserId

# What a real face has and a simulated one may lack, besides its embedding.
REAL_HAS = ("bounding_box", "landmarks", "model")


@lru_cache(maxsize=1024)  # asked for when a face is made, checked and indexed
def face_id_of(event_id: UUID, face_index: int) -> UUID:
    """The id of a face: UUIDv5 of its index in the namespace of its event. Scoring an event
    again gives the same ids, so a repeat overwrites and never doubles."""
    return uuid5(event_id, str(face_index))


def _to_float32(values: tuple[float, ...]) -> tuple[float, ...]:
    rounded = tuple(array("f", values))
    # One that is not finite makes the sum so; finite ones cannot, as it is a float64.
    if not math.isfinite(sum(rounded)):
        raise ValueError("a number beyond the range of float32")
    return rounded


def _shortest_float32(values: tuple[float, ...]) -> list[float]:
    """As the numbers with the fewest digits that name the same float32: nine at most, where a
    float64 takes seventeen."""
    text = orjson.dumps(np.array(values, dtype=np.float32), option=orjson.OPT_SERIALIZE_NUMPY)
    shortest: list[float] = orjson.loads(text)
    return shortest


# A list is taken from Python callers, a tuple is kept: the record is frozen.
Point = Annotated[tuple[float, float], Field(strict=False)]
# Far above any embedder's. With FailFast the first wrong number ends it: megabytes of them would
# be gigabytes of findings.
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
    """Source pixels after EXIF orientation; may reach over the picture's edge."""

    x: float = Field(description="Left edge.")
    y: float = Field(description="Top edge.")
    width: float = Field(gt=0)
    height: float = Field(gt=0)


class Landmarks(_Part):
    """Points [x, y] in source pixels; left and right as seen with the face upright."""

    left_eye: Point
    right_eye: Point
    nose: Point
    mouth_left: Point
    mouth_right: Point


class Measures(_Part):
    """The raw parts that the scores are computed from; null where not measured."""

    yaw: float | None = Field(default=None, description="Degrees.")
    pitch: float | None = Field(default=None, description="Degrees.")
    roll: float | None = Field(default=None, description="Degrees.")
    interocular_px: NonNegative | None = Field(
        default=None, description="Between the eyes, in source pixels."
    )
    sharpness: float | None = Field(default=None, description="0 (flat) to 1.")
    brightness: float | None = Field(default=None, description="Mean luma, 0 to 1.")
    contrast: NonNegative | None = Field(default=None, description="Spread of luma, 0 to 1.")
    exposure: Share | None = Field(
        default=None, description="1 in ordinary light; less when dark, burnt out or flat."
    )
    noise: NonNegative | None = Field(
        default=None, description="Standard deviation, in grey levels of 0 to 255."
    )
    embedding_norm: NonNegative | None = Field(
        default=None, description="L2 norm before normalisation; the scale is the embedder's."
    )
    recognisability: Share | None = Field(
        default=None,
        description="The same from 0 to 1; null where the embedder's norms are unknown.",
    )
    learned_quality: float | None = Field(
        default=None,
        description="Raw answer of the quality model, on its own scale, higher is better; no part "
        "of `quality`. Null where no such model is chosen.",
    )


class ModelNames(_Part):
    """Which models scored the face, and the SHA-256 of their weight files."""

    model_config = ConfigDict(title="Model")

    detector: str = Field(min_length=1)
    detector_sha256: Sha256Hex
    embedder: str = Field(min_length=1)
    embedder_sha256: Sha256Hex
    assessor: str | None = Field(
        default=None, min_length=1, description="The model of `learned_quality`, where one is used."
    )
    assessor_sha256: Sha256Hex | None = None


class Timings(_Part):
    """Milliseconds spent; null where a step was not taken."""

    queued: float | None = Field(
        default=None,
        description="From submission to start; negative when the clocks of the two disagree.",
    )
    fetch: NonNegative | None = None
    decode: NonNegative | None = None
    detect: NonNegative | None = None
    align: NonNegative | None = None
    embed: NonNegative | None = None
    assess: NonNegative | None = None


def _inconsistent(field: str, expected: str, found: object) -> PydanticCustomError:
    context = {"field": field, "expected": expected, "found": str(found)}
    return PydanticCustomError(
        "inconsistent", "{field}: expected {expected}, found {found}", context
    )


class ScoredFace(_Part):
    """One face. The record key is `user_id`; a picture with three faces gives three messages.

    `provenance` is "real" when the models scored the face. A "simulated" one answers an event
    that could not be scored: `fallback_reason` says why, and it is never indexed. A real one has
    `bounding_box`, `landmarks`, `model` and a non-empty `embedding`.

    The embedding is L2-normalised float32 and is written with as many digits as name a
    float32 exactly, nine at most. All scores run from 0 (worst) to 1 (best).
    """

    model_config = ConfigDict(title="scored-face")

    event_id: EventId = Field(description="The image-submitted event that this answers.")
    face_id: EventId = Field(description="UUIDv5 of face_index in the namespace event_id.")
    user_id: UserId
    face_index: int = Field(ge=0, description="Its place among the faces, most prominent first.")
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
    confidence: Share = Field(description="How sure it is a face, and one that can be compared.")
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
        default_factory=dict, description="As it came with the event, types unchanged."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.embedding_size != len(self.embedding):
            raise _inconsistent(
                "embedding_size", f"{len(self.embedding)}, as embedding has", self.embedding_size
            )
        if self.face_index >= self.face_count:
            raise _inconsistent(
                "face_index", f"less than face_count ({self.face_count})", self.face_index
            )
        face_id = face_id_of(self.event_id, self.face_index)
        if self.face_id != face_id:
            raise _inconsistent("face_id", f"{face_id}, from event_id and face_index", self.face_id)
        self._check_provenance()
        return self

    def _check_provenance(self) -> None:
        if self.provenance == "simulated":
            if self.fallback_reason is None:
                raise _inconsistent("fallback_reason", "a reason, as it is simulated", "null")
            return
        if self.fallback_reason is not None:
            raise _inconsistent("fallback_reason", "null, as it is real", self.fallback_reason)
        for name in REAL_HAS:
            if getattr(self, name) is None:
                raise _inconsistent(name, "an object, as it is real", "null")
        if not self.embedding:
            raise _inconsistent("embedding", "numbers, as it is real", "an empty array")

"""Requests and answers of the HTTP API: the three calls of the older services, and our own.

``image`` is base64 in the standard alphabet, alone or in a data URL. null means absent for a field
that has a default. Unknown fields are ignored.
"""

from __future__ import annotations

from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from schemas.errors import InvalidEvent, Problem, describe, problems_of
from schemas.field_types import Share
from schemas.image_submitted import EXPECTED, Picture
from schemas.json_budget import JSON_BUDGET_EXPECTED, json_excess
from schemas.legacy_result import DetectedFace
from schemas.scored_face import Embedding

DEFAULT_MIN_CONFIDENCE = 0.7

_Request = TypeVar("_Request", bound="RequestBody")


class RequestBody(BaseModel):
    """The JSON body of a request."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        hide_input_in_errors=True,  # pydantic would print the start of the picture
    )


class DetectFaceRequest(RequestBody):
    """A picture whose faces are to be detected."""

    image: Picture = Field(repr=False, description="The picture's file in base64, or a data URL.")
    min_confidence: Share | None = Field(
        default=None,
        description="Detections with a lower confidence are ignored. "
        f"Default: {DEFAULT_MIN_CONFIDENCE}.",
    )


class ExtractEmbeddingRequest(RequestBody):
    """A picture whose most prominent face is to be embedded."""

    image: Picture = Field(repr=False, description="The picture's file in base64, or a data URL.")
    aligned: bool | None = Field(
        default=None,
        description="true: the picture is an aligned crop already, and no face is detected in it. "
        "It is resized to 112 x 112 pixels if needed. Default: false.",
    )


class _Answer(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class Failure(_Answer):
    """The request failed; ``message`` says why."""

    success: Literal[False] = False
    message: str


class DetectFaceAnswer(_Answer):
    """Every face of the picture, the most prominent first; the list may be empty."""

    success: Literal[True] = True
    faces: tuple[DetectedFace, ...]
    message: str | None = Field(default=None, description="Present when no face was found.")


class ExtractedEmbedding(_Answer):
    """An embedding and how reliable it is."""

    embedding: Embedding = Field(description="L2-normalised float32.")
    quality: Share
    confidence: Share


class ExtractEmbeddingAnswer(_Answer):
    """The embedding of the picture's most prominent face."""

    success: Literal[True] = True
    embedding: ExtractedEmbedding


class ServiceDetails(_Answer):
    """Whether each model passed its last probe, a real inference on a built-in picture."""

    face_detection: bool = Field(serialization_alias="faceDetection")
    face_embedding: bool = Field(serialization_alias="faceEmbedding")


class HealthAnswer(_Answer):
    """Whether the HTTP API can answer requests now."""

    status: Literal["healthy", "unhealthy"]
    details: ServiceDetails
    problem: str | None = Field(default=None, description="The problem, when unhealthy.")


class OverallDetails(ServiceDetails):
    """The same, and both models together."""

    overall: bool = Field(
        description="Both models answer, and the circuit breaker lets events through."
    )


class HealthReport(_Answer):
    """Healthy when ``details.overall`` is true."""

    status: Literal["healthy", "unhealthy"]
    details: OverallDetails


class Recommendations(_Answer):
    """What a caller should do."""

    should_use_real_ml: bool = Field(
        serialization_alias="shouldUseRealML",
        description="Everything is healthy and USE_REAL_ML is on: the real models score events.",
    )
    fallback_mode: bool = Field(
        serialization_alias="fallbackMode",
        description="Events get simulated answers. Always false with "
        "FALLBACK_TO_SIMULATED=false: events that the real models cannot score then get no answer.",
    )


class MlStatus(_Answer):
    """The ``data`` of MlStatusAnswer."""

    health: HealthReport
    recommendations: Recommendations


class MlStatusAnswer(_Answer):
    """The state of the models in the older system's shape."""

    success: bool = Field(default=True, description="false: the state of the models is unknown.")
    data: MlStatus


class ScorePending(_Answer):
    """The event was published, but its answer takes longer.

    Repeat the request with the same body to wait again: it is the same event.
    """

    success: Literal[True] = True
    event_id: str
    status: Literal["pending"] = "pending"
    message: str


def read_request(kind: type[_Request], body: bytes) -> _Request:
    """Validate the body of a request. Raises ``InvalidEvent`` with every problem found."""
    if found := json_excess(body):
        raise InvalidEvent([Problem("body", JSON_BUDGET_EXPECTED, found)])
    try:
        parsed = from_json(body, allow_inf_nan=True)
    except ValueError as error:
        raise InvalidEvent([Problem("body", "JSON in UTF-8", str(error))]) from None
    if not isinstance(parsed, dict):
        raise InvalidEvent([Problem("body", "a JSON object", describe(parsed))])
    try:
        return kind.model_validate(parsed)
    except ValidationError as error:
        expected = {"image": EXPECTED["image_base64"], "min_confidence": EXPECTED["min_confidence"]}
        raise InvalidEvent(problems_of(error, expected=expected)) from None

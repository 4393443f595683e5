"""What the HTTP API says and is told: the bodies of the older services' three calls, and of ours.

`image` is base64 in the standard alphabet, alone or in a data URL; null is the same as absent
where a field has a default; fields that we do not know are ignored.
"""

from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from schemas.errors import InvalidEvent, Problem, describe, problems_of
from schemas.field_types import Share
from schemas.image_submitted import EXPECTED, Picture
from schemas.json_budget import FIELDS_EXPECTED, crowded
from schemas.legacy_result import DetectedFace
from schemas.scored_face import Embedding

DEFAULT_MIN_CONFIDENCE = 0.7

_Request = TypeVar("_Request", bound="RequestBody")


class RequestBody(BaseModel):
    """A JSON body that we are sent."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        hide_input_in_errors=True,  # pydantic would print the start of the picture
    )


class DetectFaceRequest(RequestBody):
    """A picture whose faces are wanted."""

    image: Picture = Field(repr=False, description="The picture's file in base64, or a data URL.")
    min_confidence: Share | None = Field(
        default=None,
        description=f"Detections below this are no faces. Absent: {DEFAULT_MIN_CONFIDENCE}.",
    )


class ExtractEmbeddingRequest(RequestBody):
    """A picture whose most prominent face is to be embedded."""

    image: Picture = Field(repr=False, description="The picture's file in base64, or a data URL.")
    aligned: bool | None = Field(
        default=None,
        description="true: the picture is an aligned crop already, 112 x 112 pixels (another size "
        "is resized to that), and no face is looked for. Absent: false.",
    )


class _Answer(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class Failure(_Answer):
    """Why there is no answer."""

    success: Literal[False] = False
    message: str


class DetectFaceAnswer(_Answer):
    """Every face of the picture, the most prominent first. A picture without one has none."""

    success: Literal[True] = True
    faces: tuple[DetectedFace, ...]
    message: str | None = Field(default=None, description="Said where there is no face.")


class ExtractedEmbedding(_Answer):
    """An embedding and how far to trust it."""

    embedding: Embedding = Field(description="L2-normalised float32.")
    quality: Share
    confidence: Share


class ExtractEmbeddingAnswer(_Answer):
    """The embedding of the picture's most prominent face."""

    success: Literal[True] = True
    embedding: ExtractedEmbedding


class ServiceDetails(_Answer):
    """Whether each model answered its last probe, a real inference on a built-in picture."""

    face_detection: bool = Field(serialization_alias="faceDetection")
    face_embedding: bool = Field(serialization_alias="faceEmbedding")


class HealthAnswer(_Answer):
    """Whether the HTTP API can do its work now."""

    status: Literal["healthy", "unhealthy"]
    details: ServiceDetails
    problem: str | None = Field(default=None, description="What is wrong.")


class OverallDetails(ServiceDetails):
    """Both models together as well."""

    overall: bool = Field(
        description="Both answer, and the circuit breaker lets events through to them."
    )


class HealthReport(_Answer):
    """Healthy when `details.overall` is."""

    status: Literal["healthy", "unhealthy"]
    details: OverallDetails


class Recommendations(_Answer):
    """What a caller had better do."""

    should_use_real_ml: bool = Field(
        serialization_alias="shouldUseRealML",
        description="All is healthy and USE_REAL_ML is on: events are scored for real.",
    )
    fallback_mode: bool = Field(
        serialization_alias="fallbackMode",
        description="Events are answered simulated. With FALLBACK_TO_SIMULATED=false never: what "
        "is not scored for real is not answered then.",
    )


class MlStatus(_Answer):
    """`data` of MlStatusAnswer."""

    health: HealthReport
    recommendations: Recommendations


class MlStatusAnswer(_Answer):
    """The state of the models in the older system's shape."""

    success: bool = Field(default=True, description="false: the models could not be asked.")
    data: MlStatus


class ScorePending(_Answer):
    """The event was published; its answer takes longer. The same request again, with the same
    body, is the same event and waits again."""

    success: Literal[True] = True
    event_id: str
    status: Literal["pending"] = "pending"
    message: str


def read_request(kind: type[_Request], body: bytes) -> _Request:
    """The record in a request's body. Raises InvalidEvent with every problem that was found."""
    if found := crowded(body):
        raise InvalidEvent([Problem("body", FIELDS_EXPECTED, found)])
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

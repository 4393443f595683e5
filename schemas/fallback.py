"""`simulated-fallback`: the dead letters. Key and value are the original bytes, untouched; why
the event could not be scored is in headers added at the end."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from schemas.errors import InvalidEvent, problems_of
from schemas.field_types import Instant
from schemas.headers import Header, Headers, last_value

MAX_DETAIL_CHARACTERS = 1024
MAX_NAME_CHARACTERS = 256


class FallbackReason(StrEnum):
    """Why an event was not scored by the real models."""

    INVALID_EVENT = "invalid_event"
    UNREADABLE_IMAGE = "unreadable_image"
    IMAGE_TOO_LARGE = "image_too_large"
    IMAGE_UNAVAILABLE = "image_unavailable"
    NO_FACE = "no_face"
    LOW_CONFIDENCE = "low_confidence"
    INFERENCE_TIMEOUT = "inference_timeout"
    INFERENCE_FAILED = "inference_failed"
    REAL_ML_DISABLED = "real_ml_disabled"
    ROLLED_OUT_TO_SIMULATED = "rolled_out_to_simulated"
    CIRCUIT_OPEN = "circuit_open"


def printable(text: str, limit: int) -> str:
    """`text` in at most `limit` characters, with everything that does not print escaped: the
    detail may quote a sender's bytes, and ends in logs and terminals."""
    # Cut before escaping as well, so that a huge text is not escaped whole.
    escaped = "".join(
        character if character.isprintable() else ascii(character)[1:-1]
        for character in text[: limit + 1]
    )
    return escaped if len(escaped) <= limit else f"{escaped[: limit - 1]}…"


def _detail(value: object) -> object:
    return printable(value, MAX_DETAIL_CHARACTERS) if isinstance(value, str) else value


def _name(value: object) -> object:
    return printable(value, MAX_NAME_CHARACTERS) if isinstance(value, str) else value


# Headers are text, so a number may be read from one.
_Count = Annotated[
    int,
    Field(strict=False, ge=0),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]+$"}),
]


class FallbackHeaders(BaseModel):
    """The failure headers, each the UTF-8 text of the field of the same name.

    Original headers stay as they are and these follow them; see `with_failure` for an event
    that fails again. `fallback_detail` and `worker` are shortened and made printable. Every
    header is always there; a detail that has nothing to say is empty.
    """

    model_config = ConfigDict(strict=True, frozen=True, title="simulated-fallback headers")

    fallback_reason: FallbackReason = Field(
        strict=False,
        description="Why the event was not scored by the real models.",
        examples=["no_face"],
    )
    fallback_detail: Annotated[str, BeforeValidator(_detail)] = Field(
        default="",
        max_length=MAX_DETAIL_CHARACTERS,
        description="The error in words, for people.",
        examples=["no detection at or above 0.7; the best had 0.41"],
    )
    fallback_attempts: _Count = Field(
        description="How often the step that failed was tried; 0 when nothing was.",
        examples=["3"],
    )
    source_topic: Annotated[str, BeforeValidator(_name)] = Field(
        min_length=1,
        max_length=MAX_NAME_CHARACTERS,
        description="The topic that the message came from.",
        examples=["image-submitted"],
    )
    source_partition: _Count = Field(description="Its partition.", examples=["2"])
    source_offset: _Count = Field(description="Its offset.", examples=["1041"])
    failed_at: Instant = Field(
        description="When the worker gave up, in ISO 8601.", examples=["2024-05-01T12:00:03Z"]
    )
    worker: Annotated[str, BeforeValidator(_name)] = Field(
        min_length=1,
        max_length=MAX_NAME_CHARACTERS,
        description="Which worker gave up.",
        examples=["worker-1"],
    )

    def to_headers(self) -> list[tuple[str, bytes]]:
        """The headers, in the order of the fields."""
        return [(name, str(value).encode()) for name, value in self.model_dump(mode="json").items()]

    @classmethod
    def from_headers(cls, headers: Headers) -> Self:
        """The last failure written in `headers`. Raises InvalidEvent where there is none."""
        texts = {
            name: value.decode(errors="backslashreplace")
            for name in cls.model_fields
            if (value := last_value(headers, name)) is not None
        }
        try:
            return cls.model_validate(texts)
        except ValidationError as error:
            raise InvalidEvent(problems_of(error)) from None


def without_failure(headers: Headers) -> list[Header]:
    """The headers as they were before the last failure: for re-driving a message.

    A message that bears `fallback_reason` has failed before. The failure headers were added
    behind its own, so of each name the last is the failure's; an earlier one is the sender's.
    """
    kept = list(headers or ())
    if last_value(kept, "fallback_reason") is None:
        return kept
    for name in FallbackHeaders.model_fields:
        for index in reversed(range(len(kept))):
            if kept[index][0] == name:
                del kept[index]
                break
    return kept


def with_failure(original: Headers, failure: FallbackHeaders) -> list[Header]:
    """The headers of the dead letter: the message's own, untouched and in order, then those of
    `failure`. Those of an earlier failure are replaced, not doubled."""
    return [*without_failure(original), *failure.to_headers()]

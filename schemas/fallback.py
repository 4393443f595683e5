"""``simulated-fallback``: the dead letters, events that the real models did not score.

Key and value are the original bytes, unchanged. Failure headers, added at the end, say why.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from schemas.errors import InvalidEvent, problems_of
from schemas.field_types import Instant
from schemas.headers import Header, Headers, last_value

MAX_DETAIL_CHARACTERS = 1024
MAX_NAME_CHARACTERS = 256


class FallbackReason(StrEnum):
    """Why the real models did not score an event."""

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
    """Escape unprintable characters, and shorten the text to ``limit`` characters.

    The detail may quote a sender's bytes, and is shown in logs and terminals.
    """
    # Cut before escaping too, so that a huge text is not escaped as a whole.
    escaped = "".join(
        character if character.isprintable() else ascii(character)[1:-1]
        for character in text[: limit + 1]
    )
    return escaped if len(escaped) <= limit else f"{escaped[: limit - 1]}…"


def _detail(value: object) -> object:
    return printable(value, MAX_DETAIL_CHARACTERS) if isinstance(value, str) else value


def _name(value: object) -> object:
    return printable(value, MAX_NAME_CHARACTERS) if isinstance(value, str) else value


# Headers are text, so numbers are read from text too.
_Count = Annotated[
    int,
    Field(strict=False, ge=0),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]+$"}),
]


class FallbackHeaders(BaseModel):
    """The failure headers; each is the UTF-8 text of the field of the same name.

    They follow the original headers, which do not change; when an event fails again, they replace
    those of the earlier failure. Every header is always present, ``fallback_detail`` possibly
    empty. ``fallback_detail``, ``source_topic`` and ``worker`` are shortened and made printable.
    """

    model_config = ConfigDict(strict=True, frozen=True, title="simulated-fallback headers")

    fallback_reason: FallbackReason = Field(
        strict=False,
        description="Why the real models did not score the event.",
        examples=["no_face"],
    )
    fallback_detail: Annotated[str, BeforeValidator(_detail)] = Field(
        default="",
        max_length=MAX_DETAIL_CHARACTERS,
        description="The error message, for people.",
        examples=["no detection at or above 0.7; the best had 0.41"],
    )
    fallback_attempts: _Count = Field(
        description="How often the failed step was tried; 0 when no step was.",
        examples=["3"],
    )
    source_topic: Annotated[str, BeforeValidator(_name)] = Field(
        min_length=1,
        max_length=MAX_NAME_CHARACTERS,
        description="The topic of the original message.",
        examples=["image-submitted"],
    )
    source_partition: _Count = Field(description="Its partition.", examples=["2"])
    source_offset: _Count = Field(description="Its offset.", examples=["1041"])
    failed_at: Instant = Field(
        description="When the event failed, in ISO 8601.", examples=["2024-05-01T12:00:03Z"]
    )
    worker: Annotated[str, BeforeValidator(_name)] = Field(
        min_length=1,
        max_length=MAX_NAME_CHARACTERS,
        description="The worker on which the event failed.",
        examples=["worker-1"],
    )

    def to_headers(self) -> list[tuple[str, bytes]]:
        """Return the headers, in the order of the fields."""
        return [(name, str(value).encode()) for name, value in self.model_dump(mode="json").items()]

    @classmethod
    def from_headers(cls, headers: Headers) -> Self:
        """Read the last failure in ``headers``. Raises ``InvalidEvent`` when there is none."""
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
    """Restore the headers from before the last failure, to re-drive a message.

    A message with ``fallback_reason`` has failed before. Failure headers are added at the end, so
    the last header of each name is the failure's, and an earlier one is the sender's.
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
    """Return a dead letter's headers: the original ones in order, then those of ``failure``.

    The headers of an earlier failure are removed.
    """
    return [*without_failure(original), *failure.to_headers()]

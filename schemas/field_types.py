"""Field types shared by several records: strict, and with their JSON Schema."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeAlias
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, WithJsonSchema
from pydantic_core import PydanticCustomError

# The parser stops at 200 levels. Metadata is copied into another record, so it must leave room.
MAX_METADATA_DEPTH = 100
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_UUID_TEXT = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}")
_CONTROL_CHARACTERS = r"\x00-\x1f\x7f-\x9f"
# JSON Schema patterns are ECMA-262; ``not`` avoids ``$``, which dialects read differently.
_NO_CONTROL_CHARACTERS = {"not": {"pattern": r"[\u0000-\u001f\u007f-\u009f]"}}


def instant_from_text(text: str) -> datetime:
    """Parse an ISO 8601 date and time to UTC; without an offset it is UTC already.

    Raises ``ValueError`` for any other text and for instants outside the years 1 to 9999.
    """
    moment = datetime.fromisoformat(text)
    return _in_utc(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def instant_from_epoch_ms(milliseconds: float) -> datetime:
    """Convert milliseconds since 1970 to UTC. Raises ``ValueError`` when out of range."""
    try:
        return EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError as error:
        raise ValueError("outside the years 1 to 9999") from error


def _in_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("an instant needs its offset from UTC")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("outside the years 1 to 9999") from error


def _read_instant(value: object) -> object:
    try:
        if isinstance(value, str):
            return instant_from_text(value)
        return _in_utc(value) if isinstance(value, datetime) else value
    except ValueError:
        raise PydanticCustomError("instant", "Input should be an ISO 8601 date and time") from None


def _read_uuid(value: object) -> object:
    if not isinstance(value, str):
        return value
    if not _UUID_TEXT.fullmatch(value):
        raise PydanticCustomError("uuid_text", "Input should be a UUID")
    return UUID(value)


def json_flaw(value: JsonValue) -> str | None:
    """Return why a value of metadata cannot be written as JSON, or None when it can.

    The parser accepts NaN, Infinity and numbers too large for a float, so that the error can name
    the field. They are not JSON, and other readers of the topic may refuse them.
    """
    level: list[JsonValue] = [value]
    for _ in range(MAX_METADATA_DEPTH):
        below: list[JsonValue] = []
        for item in level:
            if isinstance(item, float) and not math.isfinite(item):
                return f"the number {item}"
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        if not below:
            return None
        level = below
    return f"more than {MAX_METADATA_DEPTH} levels"


def _sound(metadata: dict[str, JsonValue]) -> dict[str, JsonValue]:
    for name, value in metadata.items():
        if flaw := json_flaw(value):
            context = {"field": f"metadata.{name}", "expected": JSON_EXPECTED, "found": flaw}
            raise PydanticCustomError("metadata", "Input should be {expected}", context)
    return metadata


JSON_EXPECTED = f"JSON with finite numbers, nested at most {MAX_METADATA_DEPTH} levels"

UserId: TypeAlias = Annotated[
    str,
    Field(min_length=1, max_length=256, pattern=f"^[^{_CONTROL_CHARACTERS}]*$"),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 256} | _NO_CONTROL_CHARACTERS),
]
Uri: TypeAlias = Annotated[
    str,
    Field(min_length=1, max_length=4096, pattern=f"^[^{_CONTROL_CHARACTERS}]*$"),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 4096} | _NO_CONTROL_CHARACTERS),
]
EventId: TypeAlias = Annotated[
    UUID,
    BeforeValidator(_read_uuid),
    WithJsonSchema({"type": "string", "format": "uuid", "pattern": f"^({_UUID_TEXT.pattern})$"}),
]
Instant: TypeAlias = Annotated[
    datetime,
    BeforeValidator(_read_instant),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": "^[0-9]{4}-?[0-9W]"}),
]
Sha256Hex: TypeAlias = Annotated[
    str,
    Field(pattern="^[0-9a-fA-F]{64}$"),
    AfterValidator(str.lower),
    WithJsonSchema({"type": "string", "maxLength": 64, "pattern": "^[0-9a-fA-F]{64}$"}),
]
Metadata: TypeAlias = Annotated[dict[str, JsonValue], AfterValidator(_sound)]
Share: TypeAlias = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]

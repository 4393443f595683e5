"""image-submitted in binary mode: the value is the picture, the headers are the other fields."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pydantic import JsonValue
from pydantic_core import from_json, to_json

from schemas.errors import describe
from schemas.event_metadata import add_entries, bound_metadata
from schemas.headers import Headers, content_type, last_value
from schemas.image_submitted import EXPECTED, ImageSubmitted
from schemas.json_budget import JSON_BUDGET, JSON_BUDGET_EXPECTED, json_excess
from schemas.raw_event import RawEvent, parse_iso

# The record's wire name: the headers that may hold it.
TEXT_HEADERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "event_id": ("ce_id", "event_id"),
        "user_id": ("user_id",),
        "image_sha256": ("image_sha256",),
    }
)
BINARY_PREFIX = "image/"
# Headers written as JSON: true, 0.7, 3, {"campaign": "spring"}.
JSON_HEADERS = ("use_real_ml", "min_confidence", "max_faces")


def is_binary(headers: Headers) -> bool:
    """Whether the content type says that the value is a picture."""
    return content_type(headers).startswith(BINARY_PREFIX)


def read_binary_event(value: bytes | None, key: bytes | None, headers: Headers) -> RawEvent:
    """Read the fields of a binary message; every problem is recorded in the result."""
    event = RawEvent()
    if value:
        event.set("image_base64", "value", value)
    else:
        event.reject("image_base64", "value", "the bytes of a picture", "no bytes")
    for wire_name, names in TEXT_HEADERS.items():
        for name in names:
            if (text := _text(event, headers, name, wire_name)) is not None:
                event.set(wire_name, name, text)
    event.default_user_to_key(key)
    _take_submitted_at(event, headers)
    for name in JSON_HEADERS:
        if (text := _text(event, headers, name, name)) is not None:
            event.set(name, name, _json_or_text(text))
    _take_metadata(event, headers)
    return event


def binary_headers(record: ImageSubmitted, media_type: str) -> list[tuple[str, bytes]]:
    """Return the headers for all fields of ``record`` except the picture.

    Raises ``ValueError`` for a media type other than ``image/*``.
    """
    if not media_type.lower().startswith(BINARY_PREFIX):
        raise ValueError(f"expected a media type {BINARY_PREFIX}*, found {media_type!r}")
    fields = record.model_dump(mode="json", exclude={"event_id", "image", "image_uri"})
    headers = [("content-type", media_type.encode()), ("ce_id", str(record.event_id).encode())]
    for name, value in fields.items():
        if value is not None:
            headers.append((name, value.encode() if isinstance(value, str) else to_json(value)))
    return headers


def _text(event: RawEvent, headers: Headers, name: str, wire_name: str) -> str | None:
    """Read the text of a header; None when absent, null, or not UTF-8, which is recorded."""
    value = last_value(headers, name)
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        event.reject(wire_name, name, EXPECTED[wire_name], "bytes that are not UTF-8")
        return None


def _take_submitted_at(event: RawEvent, headers: Headers) -> None:
    """Take ``submitted_at``, else ``ce_time``: the latter says when the event was created."""
    for name in ("submitted_at", "ce_time"):
        if "submitted_at" in event.fields or "submitted_at" in event.rejected:
            return
        if (text := _text(event, headers, name, "submitted_at")) is not None:
            event.set_parsed("submitted_at", name, text, parse_iso)


def _json_or_text(text: str) -> JsonValue:
    # A text that is not JSON stays as it is: validation rejects it, and the error shows it.
    if len(text) > JSON_BUDGET:
        return text
    try:
        parsed: JsonValue = from_json(text.strip().lower(), allow_inf_nan=False)
    except ValueError:
        return text
    return parsed


def _take_metadata(event: RawEvent, headers: Headers) -> None:
    text = _text(event, headers, "metadata", "metadata")
    if text is None:
        return
    if found := json_excess(text.encode()):
        event.reject("metadata", "metadata", JSON_BUDGET_EXPECTED, found)
        return
    try:
        metadata: JsonValue = from_json(text, allow_inf_nan=True)
    except ValueError:
        metadata = text
    if not isinstance(metadata, dict):
        event.reject("metadata", "metadata", EXPECTED["metadata"], describe(metadata))
        return
    add_entries(event, metadata, "metadata.")
    bound_metadata(event)

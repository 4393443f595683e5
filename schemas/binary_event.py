"""image-submitted in binary mode: the value is the picture, the fields are headers."""

from collections.abc import Mapping
from types import MappingProxyType

from pydantic import JsonValue
from pydantic_core import from_json, to_json

from schemas.errors import describe
from schemas.event_metadata import add_entries, bound_metadata
from schemas.headers import Headers, content_type, last_value
from schemas.image_submitted import EXPECTED, ImageSubmitted
from schemas.json_budget import FIELDS_EXPECTED, FIELDS_ROOM, crowded
from schemas.raw_event import SentEvent, read_iso

# The record's name on the wire: the headers that may hold it.
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


def read_binary_event(value: bytes | None, key: bytes | None, headers: Headers) -> SentEvent:
    """Sort value and headers; every problem is noted in what is returned."""
    sent = SentEvent()
    if value:
        sent.give("image_base64", "value", value)
    else:
        sent.refuse("image_base64", "value", "the bytes of a picture", "no bytes")
    for wire_name, names in TEXT_HEADERS.items():
        for name in names:
            if (text := _text(sent, headers, name, wire_name)) is not None:
                sent.give(wire_name, name, text)
    if "user_id" not in sent.fields and "user_id" not in sent.refused:
        sent.give_key(key)
    # ce_time may well differ: it is when the event was made, so it only stands in.
    for name in ("submitted_at", "ce_time"):
        if "submitted_at" in sent.fields or "submitted_at" in sent.refused:
            break
        if (text := _text(sent, headers, name, "submitted_at")) is not None:
            sent.give_read("submitted_at", name, text, read_iso)
    for name in JSON_HEADERS:
        if (text := _text(sent, headers, name, name)) is not None:
            sent.give(name, name, _json_or_text(text))
    _take_metadata(sent, headers)
    return sent


def binary_headers(record: ImageSubmitted, media_type: str) -> list[tuple[str, bytes]]:
    """The headers that say the fields of `record` other than the picture. Raises ValueError for
    a media type that is no picture's."""
    if not media_type.lower().startswith(BINARY_PREFIX):
        raise ValueError(f"expected a media type {BINARY_PREFIX}*, found {media_type!r}")
    fields = record.model_dump(mode="json", exclude={"event_id", "image", "image_uri"})
    headers = [("content-type", media_type.encode()), ("ce_id", str(record.event_id).encode())]
    for name, value in fields.items():
        if value is not None:
            headers.append((name, value.encode() if isinstance(value, str) else to_json(value)))
    return headers


def _text(sent: SentEvent, headers: Headers, name: str, wire_name: str) -> str | None:
    """The header's text; None where it is absent, null, or (then noted) not UTF-8."""
    value = last_value(headers, name)
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        sent.refuse(wire_name, name, EXPECTED[wire_name], "bytes that are not UTF-8")
        return None


def _json_or_text(text: str) -> JsonValue:
    # What is no JSON stays the text it is: the record refuses it and the error shows it.
    if len(text) > FIELDS_ROOM:
        return text
    try:
        parsed: JsonValue = from_json(text.strip().lower(), allow_inf_nan=False)
    except ValueError:
        return text
    return parsed


def _take_metadata(sent: SentEvent, headers: Headers) -> None:
    text = _text(sent, headers, "metadata", "metadata")
    if text is None:
        return
    if found := crowded(text.encode()):
        sent.refuse("metadata", "metadata", FIELDS_EXPECTED, found)
        return
    try:
        metadata: JsonValue = from_json(text, allow_inf_nan=True)
    except ValueError:
        metadata = text
    if not isinstance(metadata, dict):
        sent.refuse("metadata", "metadata", EXPECTED["metadata"], describe(metadata))
        return
    add_entries(sent, metadata, "metadata.")
    bound_metadata(sent)

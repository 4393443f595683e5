"""Reading image-submitted from JSON, under current and older field names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType

from pydantic import JsonValue
from pydantic_core import from_json

from schemas.errors import InvalidEvent, Problem, describe
from schemas.event_metadata import add_entries, bound_metadata
from schemas.field_types import instant_from_epoch_ms
from schemas.image_submitted import EXPECTED
from schemas.json_budget import JSON_BUDGET_EXPECTED, json_excess
from schemas.raw_event import PICTURES, RawEvent, parse_iso

# The record's wire name: every name that a sender may use for it, the current one first.
NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "event_id": ("event_id",),
        "user_id": ("user_id", "userId"),
        "image_base64": ("image_base64", "imageBase64"),
        "image_uri": ("image_uri",),
        "image_sha256": ("image_sha256",),
        "submitted_at": ("submitted_at", "timestamp"),
        "use_real_ml": ("use_real_ml", "useRealML"),
        "min_confidence": ("min_confidence",),
        "max_faces": ("max_faces",),
    }
)
_KNOWN = frozenset(name for names in NAMES.values() for name in names) | {
    "image",
    "isBase64",
    "metadata",
}


def _parse_timestamp(value: object) -> datetime:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return instant_from_epoch_ms(value)
    return parse_iso(value)


_PARSERS: Mapping[str, Callable[[object], object]] = MappingProxyType(
    {"submitted_at": parse_iso, "timestamp": _parse_timestamp}
)


def read_json_event(value: bytes | None, key: bytes | None) -> RawEvent:
    """Read the fields of a JSON message.

    Raises ``InvalidEvent`` when the value is not a JSON object; any other problem is recorded in
    the result.
    """
    event = RawEvent()
    fields = _object_in(value)
    for wire_name, names in NAMES.items():
        for name in names:
            # null means absent, except for the user, who must be given.
            if name not in fields or (fields[name] is None and wire_name != "user_id"):
                continue
            if parse := _PARSERS.get(name):
                event.set_parsed(wire_name, name, fields[name], parse)
            else:
                event.set(wire_name, name, fields[name])
    _take_image(event, fields)
    _check_one_picture(event)
    event.default_user_to_key(key)
    _take_metadata(event, fields)
    return event


def _object_in(value: bytes | None) -> dict[str, JsonValue]:
    if not value:
        raise InvalidEvent([Problem("value", "a JSON object", "no bytes")])
    if found := json_excess(value):
        raise InvalidEvent([Problem("value", JSON_BUDGET_EXPECTED, found)])
    try:
        # NaN and Infinity pass here, so that the error can name the field that holds one.
        parsed: JsonValue = from_json(value, allow_inf_nan=True)
    except ValueError as error:
        raise InvalidEvent([Problem("value", "JSON in UTF-8", str(error))]) from None
    if not isinstance(parsed, dict):
        raise InvalidEvent([Problem("value", "a JSON object", describe(parsed))])
    return parsed


def _take_image(event: RawEvent, fields: Mapping[str, JsonValue]) -> None:
    """Take the older ``image``: base64 when ``isBase64`` is true or absent, else a URI."""
    image, is_base64 = fields.get("image"), fields.get("isBase64")
    if is_base64 is not None and not isinstance(is_base64, bool):
        event.problems.append(Problem("isBase64", "true or false", describe(is_base64)))
        event.rejected.update(PICTURES)
    elif image is not None:
        event.set("image_uri" if is_base64 is False else "image_base64", "image", image)


def _check_one_picture(event: RawEvent) -> None:
    if not event.rejected.isdisjoint(PICTURES):
        event.rejected.update(PICTURES)
        return
    given = [event.names[name] for name in PICTURES if name in event.fields]
    if len(given) != 1:
        fields = " | ".join(given or PICTURES)
        found = "both" if given else "neither"
        event.problems.append(Problem(fields, "exactly one picture", found))
        event.rejected.update(PICTURES)


def _take_metadata(event: RawEvent, fields: Mapping[str, JsonValue]) -> None:
    """Take unknown fields, then the entries of ``metadata``, which replace those of one name."""
    explicit = fields.get("metadata")
    unknown = {name: value for name, value in fields.items() if name not in _KNOWN}
    add_entries(event, unknown, "")
    if isinstance(explicit, dict):
        add_entries(event, explicit, "metadata.")
    elif explicit is not None:
        event.reject("metadata", "metadata", EXPECTED["metadata"], describe(explicit))
    bound_metadata(event)

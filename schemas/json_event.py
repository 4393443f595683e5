"""image-submitted as JSON: which name on the wire means which field, the older names included."""

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType

from pydantic import JsonValue
from pydantic_core import from_json

from schemas.errors import InvalidEvent, Problem, describe
from schemas.event_metadata import add_entries, bound_metadata
from schemas.field_types import instant_from_epoch_ms
from schemas.image_submitted import EXPECTED
from schemas.json_budget import FIELDS_EXPECTED, crowded
from schemas.raw_event import PICTURES, SentEvent, read_iso

# The record's name on the wire: every name a sender may use for it, ours first.
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


def _read_timestamp(value: object) -> datetime:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return instant_from_epoch_ms(value)
    return read_iso(value)


_READERS: Mapping[str, Callable[[object], object]] = MappingProxyType(
    {"submitted_at": read_iso, "timestamp": _read_timestamp}
)


def read_json_event(value: bytes | None, key: bytes | None) -> SentEvent:
    """Sort the value's fields. Raises InvalidEvent where the value is no JSON object at all;
    every lesser problem is noted in what is returned."""
    sent = SentEvent()
    fields = _object_in(value)
    for wire_name, names in NAMES.items():
        for name in names:
            # null is the same as absent, but for the user: whose picture it is must be said.
            if name not in fields or (fields[name] is None and wire_name != "user_id"):
                continue
            if reader := _READERS.get(name):
                sent.give_read(wire_name, name, fields[name], reader)
            else:
                sent.give(wire_name, name, fields[name])
    _take_image(sent, fields)
    _count_pictures(sent)
    if "user_id" not in sent.fields and "user_id" not in sent.refused:
        sent.give_key(key)
    _take_metadata(sent, fields)
    return sent


def _object_in(value: bytes | None) -> dict[str, JsonValue]:
    if not value:
        raise InvalidEvent([Problem("value", "a JSON object", "no bytes")])
    if found := crowded(value):
        raise InvalidEvent([Problem("value", FIELDS_EXPECTED, found)])
    try:
        # NaN and Infinity are let through here, so that the field that holds one can be named.
        parsed: JsonValue = from_json(value, allow_inf_nan=True)
    except ValueError as error:
        raise InvalidEvent([Problem("value", "JSON in UTF-8", str(error))]) from None
    if not isinstance(parsed, dict):
        raise InvalidEvent([Problem("value", "a JSON object", describe(parsed))])
    return parsed


def _take_image(sent: SentEvent, fields: Mapping[str, JsonValue]) -> None:
    """The older `image`, which `isBase64` makes a picture (true, or absent) or a URI (false)."""
    image, is_base64 = fields.get("image"), fields.get("isBase64")
    if is_base64 is not None and not isinstance(is_base64, bool):
        sent.problems.append(Problem("isBase64", "true or false", describe(is_base64)))
        sent.refused.update(PICTURES)
    elif image is not None:
        sent.give("image_uri" if is_base64 is False else "image_base64", "image", image)


def _count_pictures(sent: SentEvent) -> None:
    if not sent.refused.isdisjoint(PICTURES):
        sent.refused.update(PICTURES)
        return
    given = [sent.names[name] for name in PICTURES if name in sent.fields]
    if len(given) != 1:
        fields = " | ".join(given or PICTURES)
        found = "both" if given else "neither"
        sent.problems.append(Problem(fields, "exactly one picture", found))
        sent.refused.update(PICTURES)


def _take_metadata(sent: SentEvent, fields: Mapping[str, JsonValue]) -> None:
    """Unknown fields, then the entries of `metadata`, which stand where both have a name."""
    explicit = fields.get("metadata")
    unknown = {name: value for name, value in fields.items() if name not in _KNOWN}
    add_entries(sent, unknown, "")
    if isinstance(explicit, dict):
        add_entries(sent, explicit, "metadata.")
    elif explicit is not None:
        sent.refuse("metadata", "metadata", EXPECTED["metadata"], describe(explicit))
    bound_metadata(sent)

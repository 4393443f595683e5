"""What a sender wrote, sorted by the record's fields before any of it is judged."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import JsonValue
from pydantic_core import to_json

from schemas.errors import Problem, describe, describe_size
from schemas.field_types import instant_from_text
from schemas.image_submitted import EXPECTED

PICTURES = ("image_base64", "image_uri")


@dataclass(slots=True)
class SentEvent:
    """An image-submitted event on its way to becoming a record.

    `fields` and `names` are keyed by the record's names on the wire: the raw value, and the name
    that the sender used for it. Fields in `refused` have a problem already and are not judged
    again.
    """

    fields: dict[str, object] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, JsonValue] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)

    def refuse(self, wire_name: str, sent_name: str, expected: str, found: str) -> None:
        """Note a problem with a field; the field then counts as unreadable."""
        self.problems.append(Problem(sent_name, expected, found))
        self.refused.add(wire_name)
        self.fields.pop(wire_name, None)

    def give(self, wire_name: str, sent_name: str, value: object) -> None:
        """Set a field. Giving it again by another name is well only with the same value."""
        if wire_name in self.refused:
            return
        if wire_name in self.fields and not _same(self.fields[wire_name], value):
            shown = describe_size(value) if wire_name in PICTURES else describe(value)
            first = self.names[wire_name]
            self.refuse(wire_name, sent_name, f"the same value as {first}", f"another: {shown}")
            return
        self.fields.setdefault(wire_name, value)
        self.names.setdefault(wire_name, sent_name)

    def give_read(
        self, wire_name: str, sent_name: str, value: object, read: Callable[[object], object]
    ) -> None:
        """Set a field to what `read` makes of the value; a ValueError from it is a problem."""
        try:
            self.give(wire_name, sent_name, read(value))
        except ValueError:
            self.refuse(wire_name, sent_name, expected_of(sent_name, wire_name), describe(value))

    def give_key(self, key: bytes | None) -> None:
        """Take the user id from the record key."""
        if key is None:
            self.refuse(
                "user_id", "user_id", EXPECTED["user_id"], "neither the field nor a record key"
            )
            return
        try:
            self.give("user_id", "record key", key.decode())
        except UnicodeDecodeError:
            self.refuse("user_id", "record key", EXPECTED["user_id"], "bytes that are not UTF-8")


def read_iso(value: object) -> datetime:
    """The instant in a field that takes ISO 8601 text. Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError("not text")  # noqa: TRY004  (one error type for give_read)
    return instant_from_text(value)


_EXPECTED_BY_SENT_NAME: Mapping[str, str] = {
    "timestamp": "an ISO 8601 date and time, or milliseconds since 1970",
}


def expected_of(sent_name: str, wire_name: str) -> str:
    """What a field should have been, where the name used for it widens what is allowed."""
    return _EXPECTED_BY_SENT_NAME.get(sent_name, EXPECTED[wire_name])


def _same(first: object, second: object) -> bool:
    # Instants and plain strings directly; the rest as JSON, where 1, 1.0 and true differ.
    if isinstance(first, str | datetime):
        return first == second
    return not isinstance(second, str | datetime) and to_json(first) == to_json(second)

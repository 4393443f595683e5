"""The fields of an event as the sender wrote them, before they are validated."""

from __future__ import annotations

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
class RawEvent:
    """An image-submitted event on its way to becoming a record.

    fields: raw values by the record's wire name.
    names: by the same wire name, the name that the sender used.
    rejected: wire names of fields that have a problem already, and are not validated again.
    """

    fields: dict[str, object] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, JsonValue] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    rejected: set[str] = field(default_factory=set)

    def reject(self, wire_name: str, sent_name: str, expected: str, found: str) -> None:
        """Record a problem with a field, which then counts as unreadable."""
        self.problems.append(Problem(sent_name, expected, found))
        self.rejected.add(wire_name)
        self.fields.pop(wire_name, None)

    def set(self, wire_name: str, sent_name: str, value: object) -> None:
        """Set a field; a second name for the same field must have the same value."""
        if wire_name in self.rejected:
            return
        if wire_name in self.fields and not _same(self.fields[wire_name], value):
            shown = describe_size(value) if wire_name in PICTURES else describe(value)
            first = self.names[wire_name]
            self.reject(wire_name, sent_name, f"the same value as {first}", f"another: {shown}")
            return
        self.fields.setdefault(wire_name, value)
        self.names.setdefault(wire_name, sent_name)

    def set_parsed(
        self, wire_name: str, sent_name: str, value: object, parse: Callable[[object], object]
    ) -> None:
        """Set a field to the parsed value; a ``ValueError`` of ``parse`` becomes a problem."""
        try:
            self.set(wire_name, sent_name, parse(value))
        except ValueError:
            self.reject(wire_name, sent_name, expected_of(sent_name, wire_name), describe(value))

    def default_user_to_key(self, key: bytes | None) -> None:
        """Take the user id from the record key, unless the event has one, even a wrong one."""
        if "user_id" in self.fields or "user_id" in self.rejected:
            return
        if key is None:
            self.reject(
                "user_id", "user_id", EXPECTED["user_id"], "neither the field nor a record key"
            )
            return
        try:
            self.set("user_id", "record key", key.decode())
        except UnicodeDecodeError:
            self.reject("user_id", "record key", EXPECTED["user_id"], "bytes that are not UTF-8")


def parse_iso(value: object) -> datetime:
    """Parse a field that takes ISO 8601 text. Raises ``ValueError``."""
    if not isinstance(value, str):
        raise ValueError("not text")  # noqa: TRY004  (one error type for set_parsed)
    return instant_from_text(value)


_EXPECTED_BY_SENT_NAME: Mapping[str, str] = {
    "timestamp": "an ISO 8601 date and time, or milliseconds since 1970",
}


def expected_of(sent_name: str, wire_name: str) -> str:
    """Describe what a field accepts; the name ``timestamp`` allows more than ``submitted_at``."""
    return _EXPECTED_BY_SENT_NAME.get(sent_name, EXPECTED[wire_name])


def _same(first: object, second: object) -> bool:
    # Instants and strings are compared directly; the rest as JSON, where 1, 1.0 and true differ.
    if isinstance(first, str | datetime):
        return first == second
    return not isinstance(second, str | datetime) and to_json(first) == to_json(second)

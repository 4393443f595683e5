"""Kafka record headers: an ordered list in which a name may come twice and a value may be null.

Where a name comes twice the last one counts, as in Kafka's own `Headers.lastHeader`: whoever
adds a header, adds it at the end.
"""

from collections.abc import Sequence
from typing import TypeAlias

Header: TypeAlias = tuple[str, bytes | None]
Headers: TypeAlias = Sequence[Header] | None


def last_value(headers: Headers, name: str) -> bytes | None:
    """The value of the last header called exactly `name`; None where there is none or its value
    is null."""
    for header, value in reversed(headers or ()):
        if header == name:
            return value
    return None


def last_value_any_case(headers: Headers, name: str) -> bytes | None:
    """Like `last_value`, for names that come from HTTP, where case does not count."""
    for header, value in reversed(headers or ()):
        if header.lower() == name:
            return value
    return None


def content_type(headers: Headers) -> str:
    """The media type in lower case and without parameters; empty where none is given."""
    value = last_value_any_case(headers, "content-type") or b""
    return value.decode("ascii", errors="replace").partition(";")[0].strip().lower()

"""Kafka record headers: an ordered list; a name may repeat and a value may be null.

When a name repeats, the last header counts, as in Kafka's own ``Headers.lastHeader``, because
headers are added at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

Header: TypeAlias = tuple[str, bytes | None]
Headers: TypeAlias = Sequence[Header] | None


def last_value(headers: Headers, name: str) -> bytes | None:
    """Return the value of the last header with exactly this name; None when absent or null."""
    for header, value in reversed(headers or ()):
        if header == name:
            return value
    return None


def last_value_any_case(headers: Headers, name: str) -> bytes | None:
    """Return the same as ``last_value``, but ignore the case of the name, as HTTP does."""
    for header, value in reversed(headers or ()):
        if header.lower() == name:
            return value
    return None


def content_type(headers: Headers) -> str:
    """Return the media type in lower case, without parameters; empty when there is none."""
    value = last_value_any_case(headers, "content-type") or b""
    return value.decode("ascii", errors="replace").partition(";")[0].strip().lower()

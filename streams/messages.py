"""Kafka messages as plain values, independent of Faust and aiokafka."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: Header names and values as Kafka stores them; a value may be null.
Headers = Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class Incoming:
    """One message as the broker stores it, with key, value and headers unchanged."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp: float
    """Publication time in seconds since the epoch; 0 if the producer set none."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to be published."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers

    @property
    def size(self) -> int:
        """Bytes of value, key and headers."""
        return size_of(self.key, self.value, self.headers)


def size_of(key: bytes | None, value: bytes | None, headers: Headers) -> int:
    """Count the bytes of a message's value, key and headers."""
    size = len(value or b"") + len(key or b"")
    for name, content in headers:
        size += len(name) + len(content or b"")
    return size

"""Kafka messages as plain values, so that code that decides needs neither Faust nor aiokafka."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: Names and values as Kafka holds them. A sender may write a null value.
Headers = Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class Incoming:
    """One message as the broker holds it: key, value and headers untouched."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp: float
    """When it was published, in seconds since the epoch; 0 if the producer did not say."""


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

"""A Kafka message as our own plain value, so that what decides needs no Faust."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Incoming:
    """One message as the broker holds it: key, value and headers untouched."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp: float
    """When it was published, in seconds since the epoch; 0 where its producer did not say."""

    @classmethod
    def from_event(cls, event: Any) -> Incoming:
        """The message under a Faust event."""
        message = event.message
        headers = message.headers or ()
        if isinstance(headers, dict):
            headers = headers.items()
        return cls(
            topic=message.tp.topic,
            partition=message.tp.partition,
            offset=message.offset,
            key=message.key,
            value=message.value,
            headers=tuple(headers),
            # Kafka's "no timestamp" is -1 ms.
            timestamp=max(message.timestamp or 0.0, 0.0),
        )

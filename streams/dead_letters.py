"""Dead letters: events in the fallback topic, their bytes untouched, their failure in headers."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from schemas.fallback import (
    MAX_DETAIL_CHARACTERS,
    FallbackHeaders,
    FallbackReason,
    with_failure,
)
from streams.engine.publishing import UnpublishableMessage
from streams.messages import Incoming, Outgoing

log = structlog.get_logger(__name__)

WORKER = socket.gethostname()
#: Bytes of the largest key in a dead letter without its value.
LARGEST_KEPT_KEY = 1024


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason why an event was not scored for real."""

    reason: FallbackReason
    detail: str
    attempts: int = 0
    """Attempts at the step that failed; 0 if there was none."""


def fallback_message(incoming: Incoming, failure: Failure, topic: str) -> Outgoing:
    """Return the dead letter for an event. Produced back to its source topic, it is tried again.

    A record with neither key nor value gets an empty value, because aiokafka refuses to produce a
    record without both.
    """
    nothing = incoming.key is None and incoming.value is None
    headers = FallbackHeaders(
        fallback_reason=failure.reason,
        fallback_detail=failure.detail,
        fallback_attempts=failure.attempts,
        source_topic=incoming.topic,
        source_partition=incoming.partition,
        source_offset=incoming.offset,
        failed_at=datetime.now(UTC),
        worker=WORKER,
    )
    return Outgoing(
        topic=topic,
        key=incoming.key,
        value=b"" if nothing else incoming.value,
        headers=with_failure(incoming.headers, headers),
    )


async def publish_dead_letter(
    publish: Callable[[Sequence[Outgoing]], Awaitable[None]], letter: Outgoing, incoming: Incoming
) -> None:
    """Publish a dead letter; without its value if that does not fit the topic."""
    try:
        await publish([letter])
    except UnpublishableMessage as error:
        # The message says all that a traceback would.
        log.warning(
            "event does not fit the fallback topic; left at its source",
            problem=str(error),
            topic=incoming.topic,
            partition=incoming.partition,
            offset=incoming.offset,
        )
        await publish([without_value(letter, incoming)])


def without_value(letter: Outgoing, incoming: Incoming) -> Outgoing:
    """Return the dead letter of an event that does not fit the fallback topic: only its failure.

    The event stays at its source, which the headers name. A large key stays there too, because it
    may be the part that does not fit. Raising an error would stop every worker in turn.
    """
    failure = FallbackHeaders.from_headers(letter.headers)
    key, size = letter.key, len(incoming.value or b"")
    detail = f"the event of {size} bytes does not fit this topic and was left at its source"
    if key is not None and len(key) > LARGEST_KEPT_KEY:
        digest = hashlib.sha256(key).hexdigest()
        detail += f", with a key of {len(key)} bytes (sha256 {digest})"
        key = None
    detail += f"; {failure.fallback_detail}"
    headers = failure.model_copy(update={"fallback_detail": detail[:MAX_DETAIL_CHARACTERS]})
    return Outgoing(topic=letter.topic, key=key, value=b"", headers=with_failure((), headers))

"""Sending an event to the fallback topic: its bytes untouched, its failure in headers."""

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
#: Bytes of the largest key that a dead letter without its value keeps.
LARGEST_KEPT_KEY = 1024

#: Reasons that whole crowds fall back for, by a setting or while the circuit is open. A log line
#: for each event would come at the rate of the events; the counters and the headers tell of them.
OF_CROWDS = frozenset(
    {
        FallbackReason.REAL_ML_DISABLED,
        FallbackReason.ROLLED_OUT_TO_SIMULATED,
        FallbackReason.CIRCUIT_OPEN,
    }
)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an event was not scored for real."""

    reason: FallbackReason
    detail: str
    attempts: int = 0
    """How often the step that failed was tried; 0 when nothing was."""


def fallback_message(incoming: Incoming, failure: Failure, topic: str) -> Outgoing:
    """The dead letter for an event; produced back to its source topic, it is tried again.

    A record with neither key nor value is kept with an empty value: aiokafka refuses to produce
    one that has neither, and it carries nothing but its headers anyway.
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


async def keep(
    publish: Callable[[Sequence[Outgoing]], Awaitable[None]], letter: Outgoing, incoming: Incoming
) -> None:
    """Publish a dead letter, without its value where that does not fit the topic."""
    try:
        await publish([letter])
    except UnpublishableMessage as error:
        # The traceback would say no more.
        log.warning(
            "event does not fit the fallback topic; left at its source",
            problem=str(error),
            topic=incoming.topic,
            partition=incoming.partition,
            offset=incoming.offset,
        )
        await publish([without_value(letter, incoming)])


def without_value(letter: Outgoing, incoming: Incoming) -> Outgoing:
    """The dead letter of an event that does not fit the fallback topic: its failure, no more.

    The event stays where it is, at the source that the headers name; stopping over it would stop
    every worker in turn. A large key is left there too, as it may be what does not fit.
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

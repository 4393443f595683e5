"""Handles scored-face events: each becomes a change of the index, or a dead letter."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import structlog

from schemas.codec import decode_scored_face
from schemas.errors import InvalidEvent
from schemas.fallback import FallbackReason
from streams.dead_letters import Failure, fallback_message, publish_dead_letter
from streams.index.batch_writer import BatchWriter
from streams.index.errors import IndexRejected
from streams.index.face_changes import change_for
from streams.messages import Incoming, Outgoing
from streams.telemetry.handling import Handling
from streams.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)


class Indexer:
    """Brings the index up to date with one event at a time; many may be under way."""

    def __init__(
        self,
        writer: BatchWriter,
        *,
        fallback_topic: str,
        publish: Callable[[Sequence[Outgoing]], Awaitable[None]],
        metrics: Metrics,
    ) -> None:
        self._writer = writer
        self._fallback_topic = fallback_topic
        self._publish = publish
        self._metrics = metrics

    async def handle(self, incoming: Incoming) -> None:
        """Return when the event's effect on the index is stored, or its dead letter is published.

        Raises ``Abandoned`` when the worker leaves while the index is unavailable.
        """
        handling = Handling(incoming, self._metrics)
        try:
            face = decode_scored_face(incoming.value)
        except InvalidEvent as error:
            await self._reject(incoming, f"not a scored-face event: {error}", handling)
            return
        handling.identify(face.event_id, face.user_id)
        change = change_for(face)
        if change is None:
            return
        try:
            await self._writer.write(change)
            handling.finish("index", "success")
        except IndexRejected as error:
            await self._reject(incoming, f"rejected by the index: {error}", handling)

    async def _reject(self, incoming: Incoming, detail: str, handling: Handling) -> None:
        log.error(
            "a face cannot be indexed; its event goes to the fallback topic",
            detail=detail,
            **handling.fields,
        )
        failure = Failure(FallbackReason.INVALID_EVENT, detail)
        handling.finish("index", "rejected")
        handling.record_fallback(failure.reason)
        letter = fallback_message(incoming, failure, self._fallback_topic)
        await publish_dead_letter(self._publish, letter, incoming)

"""Request-reply over Kafka: publish an event and wait for its answer."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from schemas.codec import encode_image_submitted, encode_image_submitted_binary
from schemas.image_submitted import ImageSubmitted
from schemas.scored_face import ScoredFace
from streams.engine.publishing import Publisher
from streams.kafka.answer_follower import AnswerFollower, Awaited
from streams.messages import Outgoing

#: The worker finds out a picture's format from its bytes.
ANY_PICTURE = "image/*"


class RequestReply:
    """Publishes image-submitted events and waits for their scored-face events."""

    def __init__(self, topic: str, publisher: Publisher, follower: AnswerFollower) -> None:
        self._topic = topic
        self._publisher = publisher
        self._follower = follower

    async def submit(self, event: ImageSubmitted, traceparent: str | None = None) -> Awaited:
        """Publish an event; pass the result to ``answer``.

        Raises ``FollowingFailed``, and the errors of ``Publisher.publish``.
        """
        awaited = await self._follower.expect(event.event_id, event.user_id)
        try:
            await self._publisher.publish([self._message(event, traceparent)])
        except BaseException:
            self._follower.forget(awaited)
            raise
        return awaited

    async def answer(self, awaited: Awaited, deadline: float) -> tuple[ScoredFace, ...] | None:
        """Return the faces of the event in order; None when ``deadline`` comes before them.

        ``deadline`` is on the event loop's clock. Raises ``NotScored`` or ``FollowingFailed``.
        """
        try:
            async with asyncio.timeout_at(deadline):
                return await awaited.answer
        except TimeoutError:
            return None
        finally:
            self._follower.forget(awaited)

    def _message(self, event: ImageSubmitted, traceparent: str | None) -> Outgoing:
        if event.submitted_at is None:
            event = event.model_copy(update={"submitted_at": datetime.now(UTC)})
        if event.image is None:
            value = encode_image_submitted(event)
            headers = [
                ("content-type", b"application/json"),
                ("ce_id", str(event.event_id).encode()),
            ]
        else:
            value, headers = encode_image_submitted_binary(event, ANY_PICTURE)
        if traceparent is not None:
            headers.append(("traceparent", traceparent.encode(errors="replace")))
        return Outgoing(self._topic, event.user_id.encode(), value, headers)

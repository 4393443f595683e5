"""The bridge for apps that cannot speak Kafka: a picture in, its event out, and its answer back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from schemas.codec import encode_image_submitted, encode_image_submitted_binary
from schemas.image_submitted import ImageSubmitted
from schemas.scored_face import ScoredFace
from streams.engine.publishing import Outgoing
from streams.kafka.answer_follower import AnswerFollower, Awaited

#: The worker looks at the bytes to see which format they have.
ANY_PICTURE = "image/*"


class ScoreBridge:
    """Publishes image-submitted events and waits for their scored-face events."""

    def __init__(
        self,
        topic: str,
        publish: Callable[[Sequence[Outgoing]], Awaitable[None]],
        follower: AnswerFollower,
    ) -> None:
        self._topic = topic
        self._publish = publish
        self._follower = follower

    async def submit(self, event: ImageSubmitted, traceparent: str | None = None) -> Awaited:
        """Publish an event; what is returned goes to ``answer``.

        Raises ``FollowingFailed``, and what publishing raises.
        """
        awaited = await self._follower.expect(event.event_id, event.user_id)
        try:
            await self._publish([self._message(event, traceparent)])
        except BaseException:
            self._follower.forget(awaited)
            raise
        return awaited

    async def answer(self, awaited: Awaited, deadline: float) -> tuple[ScoredFace, ...] | None:
        """The faces of the event, by their index; None when there are none by then.

        ``deadline`` is on the event loop's clock.

        Raises ``NotScored`` or ``FollowingFailed``.
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

"""Publishing with certainty: an output counts only when the broker has acknowledged it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from faust.exceptions import NotReady

from streams.engine.interface import Engine
from streams.errors import Abandoned, StreamsError
from streams.messages import Outgoing

log = structlog.get_logger(__name__)

#: Time-out of one attempt to send a message, its ack included.
ATTEMPT_TIMEOUT_S = 12.0
FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 5.0
#: After this long without an ack the worker stops and leaves the event to another worker.
GIVE_UP_AFTER_S = 300.0


class UnpublishableMessage(StreamsError):
    """A message larger than KAFKA_MAX_MESSAGE_BYTES, or than its topic takes."""


class PublishingFailed(StreamsError):
    """The broker acknowledged nothing for so long that the worker should stop."""


class Publisher:
    """Publishes messages and waits for the broker's acks (acks=all)."""

    def __init__(
        self,
        engine: Engine,
        on_wait: Callable[[], None] = lambda: None,
        *,
        is_leaving: Callable[[], bool],
        max_bytes: Callable[[str], int] | None = None,
        on_timeout: Callable[[], None] = lambda: None,
    ) -> None:
        """``on_wait`` is called before each retry, ``on_timeout`` after each time-out.

        ``max_bytes`` gives the largest message of a topic; None leaves it to producer and broker.
        """
        self._engine = engine
        self._is_leaving = is_leaving
        self._max_bytes = max_bytes
        self._on_wait = on_wait
        self._on_timeout = on_timeout

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        """Return when every message is acknowledged.

        Raises ``Abandoned`` when the worker stops or rebalances meanwhile, ``UnpublishableMessage``
        for a message that no retry can help, ``PublishingFailed`` after ``GIVE_UP_AFTER_S``.
        """
        # All sizes are checked before any message is sent: an answer is published as a whole or
        # not at all, so that half an answer never appears next to a dead letter.
        for message in messages:
            limit = self._max_bytes(message.topic) if self._max_bytes else None
            if limit is not None and message.size > limit:
                raise UnpublishableMessage(_too_large(message, f"the limit is {limit}"))
        if len(messages) == 1:
            await self._publish_one(messages[0])
        elif messages:
            await asyncio.gather(*(self._publish_one(message) for message in messages))

    async def _publish_one(self, message: Outgoing) -> None:
        started = time.monotonic()
        wait = FIRST_WAIT_S
        while not await self._attempt(message, next_try_s=wait):
            if time.monotonic() - started > GIVE_UP_AFTER_S:
                raise PublishingFailed(
                    f"topic {message.topic} acknowledged nothing for {GIVE_UP_AFTER_S:.0f} s"
                )
            self._on_wait()
            await pause(wait, self._is_leaving)
            wait = min(wait * 2, LONGEST_WAIT_S)

    async def _attempt(self, message: Outgoing, *, next_try_s: float) -> bool:
        """Send one message. Returns False when it was not acknowledged and a retry may help."""
        try:
            async with asyncio.timeout(ATTEMPT_TIMEOUT_S):
                await self._engine.send(message)
        except MessageSizeTooLargeError as error:
            raise UnpublishableMessage(_too_large(message, str(error))) from error
        except (KafkaError, NotReady, TimeoutError, OSError) as error:
            log.warning(
                "publishing failed; trying again",
                topic=message.topic,
                reason=str(error) or type(error).__name__,
                next_try_s=next_try_s,
            )
            if isinstance(error, TimeoutError):
                self._on_timeout()
            return False
        return True


def _too_large(message: Outgoing, why: str) -> str:
    return (
        f"a message of {message.size} bytes is too large for topic {message.topic}; see "
        f"KAFKA_MAX_MESSAGE_BYTES and the topic's max.message.bytes ({why})"
    )


async def pause(seconds: float, is_leaving: Callable[[], bool]) -> None:
    """Wait, but raise ``Abandoned`` as soon as the worker is leaving."""
    until = time.monotonic() + seconds
    while True:
        if is_leaving():
            raise Abandoned
        left = until - time.monotonic()
        if left <= 0:
            return
        await asyncio.sleep(min(left, 0.1))

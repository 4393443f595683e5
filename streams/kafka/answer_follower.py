"""Waits for the answers to events that this worker has published.

Any worker may score the event, so the follower reads every partition of scored-face from its end,
without a consumer group. It starts to read with the first awaited event, and stops when no answer
has been awaited for ``IDLE_S``.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from uuid import UUID

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.errors import KafkaError

from schemas.codec import decode_scored_face
from schemas.errors import InvalidEvent
from schemas.fallback import FallbackHeaders
from schemas.headers import last_value
from schemas.scored_face import ScoredFace
from streams.config.settings import Settings
from streams.errors import StreamsError
from streams.kafka.connection import client_options
from streams.kafka.topics import topic_names

log = structlog.get_logger(__name__)

POLL_MS = 200
#: The topics are read for this long after the last answer was awaited.
IDLE_S = 60.0


class NotScored(StreamsError):
    """The event is a dead letter and gets no answer (``FALLBACK_TO_SIMULATED=false``)."""


class FollowingFailed(StreamsError):
    """The answers cannot be read at present."""


@dataclass(eq=False)
class Awaited:
    """An event and the answers received so far; they arrive in any order, perhaps repeatedly."""

    event_id: UUID
    user_id: str
    answer: asyncio.Future[tuple[ScoredFace, ...]]
    faces: dict[int, ScoredFace] = field(default_factory=dict)

    def take(self, face: ScoredFace) -> None:
        """Add a face of the event; the last one completes the answer."""
        self.faces[face.face_index] = face
        if len(self.faces) >= face.face_count and not self.answer.done():
            self.answer.set_result(tuple(self.faces[index] for index in sorted(self.faces)))


class AnswerFollower:
    """Reads scored-face while answers are awaited."""

    def __init__(self, settings: Settings) -> None:
        topics = topic_names(settings)
        self._settings = settings
        self._image_submitted = topics.image_submitted
        self._scored_face = topics.scored_face
        # With FALLBACK_TO_SIMULATED a dead letter is answered in scored-face as well.
        self._topics = [topics.scored_face]
        if not settings.fallback_to_simulated:
            self._topics.append(topics.simulated_fallback)
        self._awaited: dict[bytes, set[Awaited]] = {}
        self._wanted_at = 0.0
        self._lock = asyncio.Lock()
        self._following: asyncio.Task[None] | None = None

    async def expect(self, event_id: UUID, user_id: str) -> Awaited:
        """Await the answer to an event that is published after this returns.

        The caller must ``forget`` it in the end. Raises ``FollowingFailed``.
        """
        async with self._lock:
            if self._following is None:
                consumer = await self._start_consumer()
                self._following = asyncio.create_task(self._follow(consumer), name="answers")
        # There is no await since the check of the task, so it cannot have stopped in between.
        awaited = Awaited(event_id, user_id, asyncio.get_running_loop().create_future())
        self._awaited.setdefault(user_id.encode(), set()).add(awaited)
        return awaited

    def forget(self, awaited: Awaited) -> None:
        """Stop awaiting the answer."""
        awaited.answer.cancel()
        key = awaited.user_id.encode()
        waiting = self._awaited.get(key, set())
        waiting.discard(awaited)
        if not waiting:
            self._awaited.pop(key, None)

    async def close(self) -> None:
        """Stop reading; awaited answers raise ``FollowingFailed``."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)

    async def _start_consumer(self) -> AIOKafkaConsumer:
        """Start a consumer at the end of every partition.

        ``position`` returns when the broker has reported the end. The embedded broker reports the
        start of its last batch instead; that batch is read again, which does no harm.
        """
        consumer = AIOKafkaConsumer(
            *self._topics,
            **client_options(self._settings),
            group_id=None,
            auto_offset_reset="latest",
            enable_auto_commit=False,
            fetch_max_wait_ms=100,
        )
        try:
            await consumer.start()
            for partition in consumer.assignment():
                await consumer.position(partition)
        except BaseException as error:
            await consumer.stop()
            if isinstance(error, KafkaError | OSError):
                raise FollowingFailed(f"the answers cannot be read now: {error}") from error
            raise
        return consumer

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        log.info("following answers", topics=self._topics)
        self._wanted_at = time.monotonic()
        failure = FollowingFailed("this worker is stopping")
        try:
            while self._is_wanted():
                batches = await consumer.getmany(timeout_ms=POLL_MS)
                for batch in batches.values():
                    for record in batch:
                        self._note(record)
        except Exception as error:
            log.exception("following answers failed")
            failure = FollowingFailed(f"the answers cannot be read now: {error}")
        finally:
            # Before the next await: a later caller starts a new consumer.
            self._following = None
            for awaited in [one for waiting in self._awaited.values() for one in waiting]:
                if not awaited.answer.done():
                    awaited.answer.set_exception(failure)
            await consumer.stop()

    def _is_wanted(self) -> bool:
        now = time.monotonic()
        if self._awaited:
            self._wanted_at = now
        return now - self._wanted_at < IDLE_S

    def _note(self, record: ConsumerRecord) -> None:
        # The key is the user ID: only answers to users with an awaited event are decoded.
        waiting = self._awaited.get(record.key or b"")
        if not waiting:
            return
        try:
            if record.topic == self._scored_face:
                self._note_face(waiting, decode_scored_face(record.value))
            else:
                self._note_dead_letter(waiting, record)
        except InvalidEvent as error:
            log.info("not an answer", topic=record.topic, problem=str(error))

    @staticmethod
    def _note_face(waiting: set[Awaited], face: ScoredFace) -> None:
        for awaited in waiting:
            if awaited.event_id == face.event_id:
                awaited.take(face)

    def _note_dead_letter(self, waiting: set[Awaited], record: ConsumerRecord) -> None:
        event_id = last_value(record.headers, "ce_id")
        failure = FallbackHeaders.from_headers(record.headers)
        if failure.source_topic != self._image_submitted or event_id is None:
            return
        for awaited in waiting:
            if str(awaited.event_id).encode() == event_id and not awaited.answer.done():
                reason = f"{failure.fallback_reason}: {failure.fallback_detail}"
                awaited.answer.set_exception(NotScored(reason))

"""Waiting for the answers to events that this worker published, whoever scores them.

Another worker may score the event, so every partition of scored-face is followed, without a
consumer group, from its end on. Following starts with the first event that somebody waits for and
stops when nobody has waited for a while.
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
#: With nobody waiting for this long, the topics are no longer read.
IDLE_S = 60.0


class NotScored(StreamsError):
    """The event went to the fallback topic, where nobody answers it (FALLBACK_TO_SIMULATED)."""


class FollowingFailed(StreamsError):
    """The answers cannot be read now."""


@dataclass(eq=False)
class Awaited:
    """An event whose answers are waited for; they come in any order, and may come twice."""

    event_id: UUID
    user_id: str
    answer: asyncio.Future[tuple[ScoredFace, ...]]
    faces: dict[int, ScoredFace] = field(default_factory=dict)

    def take(self, face: ScoredFace) -> None:
        """Note a face of the event; with the last one the answer is there."""
        self.faces[face.face_index] = face
        if len(self.faces) >= face.face_count and not self.answer.done():
            self.answer.set_result(tuple(self.faces[index] for index in sorted(self.faces)))


class AnswerFollower:
    """Follows scored-face for those who wait."""

    def __init__(self, settings: Settings) -> None:
        topics = topic_names(settings)
        self._settings = settings
        self._image_submitted = topics.image_submitted
        self._scored_face = topics.scored_face
        # Where dead letters are answered with simulated scores, those are all there is to read.
        self._topics = [topics.scored_face]
        if not settings.fallback_to_simulated:
            self._topics.append(topics.simulated_fallback)
        self._awaited: dict[bytes, set[Awaited]] = {}
        self._wanted_at = 0.0
        self._lock = asyncio.Lock()
        self._following: asyncio.Task[None] | None = None

    @property
    def following(self) -> bool:
        """Whether the topics are being read."""
        return self._following is not None

    async def expect(self, event_id: UUID, user_id: str) -> Awaited:
        """Wait for the answers of an event that is published after this returns.

        ``forget`` it in the end. Raises ``FollowingFailed``.
        """
        async with self._lock:
            if self._following is None:
                consumer = await self._at_the_end()
                self._following = asyncio.create_task(self._follow(consumer), name="answers")
        # Nothing is awaited between the look at the task and this, so it cannot have gone idle.
        awaited = Awaited(event_id, user_id, asyncio.get_running_loop().create_future())
        self._awaited.setdefault(user_id.encode(), set()).add(awaited)
        return awaited

    def forget(self, awaited: Awaited) -> None:
        """Nobody waits for it any more."""
        awaited.answer.cancel()
        key = awaited.user_id.encode()
        waiting = self._awaited.get(key, set())
        waiting.discard(awaited)
        if not waiting:
            self._awaited.pop(key, None)

    async def close(self) -> None:
        """Stop following; whoever waits is told so by ``FollowingFailed``."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)

    async def _at_the_end(self) -> AIOKafkaConsumer:
        """A consumer of all partitions whose positions are their ends now.

        Asking for a position waits for the broker's word on it. The embedded broker says where its
        last batch began, not where it ends: that batch is read again, which does no harm.
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
            # Before anything is awaited: who comes now starts anew.
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
        # The key is the user: only the answers of users who wait are decoded.
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

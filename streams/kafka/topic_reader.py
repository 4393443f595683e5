"""Read topics from the beginning or the end, without a consumer group."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from types import TracebackType

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.errors import KafkaError

from schemas.codec import decode_scored_face
from schemas.errors import InvalidEvent
from schemas.scored_face import ScoredFace
from streams.config.kafka_settings import KafkaSettings
from streams.kafka.connection import BrokerUnavailable, client_options

IDLE_MS = 500


class TopicReader:
    """Reads topics; an async context manager.

    Without ``from_beginning`` it yields the records published after it is entered. Entering it
    raises ``BrokerUnavailable`` when no broker answers.
    """

    def __init__(self, settings: KafkaSettings, *topics: str, from_beginning: bool = True) -> None:
        self._settings = settings
        self._topics = topics
        self._from_beginning = from_beginning
        self._consumer: AIOKafkaConsumer | None = None

    async def __aenter__(self) -> TopicReader:
        consumer = AIOKafkaConsumer(
            *self._topics,
            **client_options(self._settings),
            auto_offset_reset="earliest" if self._from_beginning else "latest",
            enable_auto_commit=False,
            fetch_max_wait_ms=100,
        )
        try:
            await consumer.start()
        except (KafkaError, OSError) as error:
            await consumer.stop()
            raise BrokerUnavailable(self._settings, error) from error
        self._consumer = consumer
        if not self._from_beginning:
            # Fix the positions before the caller publishes. The embedded broker's latest offset is
            # up to one batch too early, so that a few older records may be read as well.
            for partition in consumer.assignment():
                await consumer.position(partition)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._consumer is not None:
            await self._consumer.stop()

    async def records(self, *, follow: bool) -> AsyncIterator[ConsumerRecord]:
        """Yield records; stop at the end of every partition, or with ``follow`` wait for more."""
        consumer = self._consumer
        if consumer is None:
            raise RuntimeError("use the reader as a context manager")
        while True:
            batches = await consumer.getmany(timeout_ms=IDLE_MS)
            for batch in batches.values():
                for record in batch:
                    yield record
            if not batches and not follow and await self._at_end(consumer):
                return

    @staticmethod
    async def _at_end(consumer: AIOKafkaConsumer) -> bool:
        for partition in consumer.assignment():
            high = consumer.highwater(partition)
            if high is None or await consumer.position(partition) < high:
                return False
        return True

    async def scored_faces(self, *, follow: bool) -> AsyncIterator[ScoredFace]:
        """Yield scored-face events; records that are not one are skipped."""
        async for record in self.records(follow=follow):
            with contextlib.suppress(InvalidEvent):
                yield decode_scored_face(record.value)

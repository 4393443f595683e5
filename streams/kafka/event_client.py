"""Publishing events and reading answers as a client would, for the commands and the demo."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from types import TracebackType

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from schemas.codec import (
    decode_scored_face,
    encode_image_submitted,
    encode_image_submitted_binary,
)
from schemas.errors import InvalidEvent
from schemas.image_submitted import ImageSubmitted
from schemas.scored_face import ScoredFace
from streams.config.settings import Settings
from streams.errors import StreamsError
from streams.kafka.connection import client_options
from streams.kafka.topics import topic_names

IDLE_MS = 500
JSON_TYPE = b"application/json"


class BrokerAway(StreamsError):
    """No broker answers at the address of the settings."""

    def __init__(self, settings: Settings, error: Exception) -> None:
        hint = (
            "check KAFKA_BOOTSTRAP_SERVERS"
            if settings.kafka_bootstrap_servers
            else "KAFKA_BOOTSTRAP_SERVERS is not set and no embedded broker runs "
            "(`facestream up` starts one)"
        )
        super().__init__(f"no broker at {settings.bootstrap_servers}: {hint} ({error})")


async def existing_topics(settings: Settings) -> set[str]:
    """The names of all topics on the cluster. Raises ``BrokerAway``."""
    admin = AIOKafkaAdminClient(**client_options(settings))
    try:
        await admin.start()
        return set(await admin.list_topics())
    except (KafkaError, OSError) as error:
        raise BrokerAway(settings, error) from error
    finally:
        await admin.close()


class Submitter:
    """Publishes image-submitted events; use it as an async context manager."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = topic_names(settings).image_submitted
        self._producer: AIOKafkaProducer | None = None

    async def __aenter__(self) -> Submitter:
        producer = AIOKafkaProducer(
            **client_options(self._settings),
            acks="all",
            max_request_size=self._settings.kafka_max_message_bytes,
        )
        try:
            await producer.start()
        except (KafkaError, OSError) as error:
            await producer.stop()
            raise BrokerAway(self._settings, error) from error
        self._producer = producer
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._producer is not None:
            await self._producer.stop()

    async def submit(self, event: ImageSubmitted, *, media_type: str | None = None) -> None:
        """Publish one event and wait for the broker's ack.

        With the ``media_type`` of its picture it goes in binary mode, else as JSON.
        """
        if media_type is None:
            value, headers = encode_image_submitted(event), [("content-type", JSON_TYPE)]
        else:
            value, headers = encode_image_submitted_binary(event, media_type)
        if self._producer is None:
            raise RuntimeError("use the submitter as a context manager")
        try:
            await self._producer.send_and_wait(
                self._topic, value, key=event.user_id.encode(), headers=headers
            )
        except MessageSizeTooLargeError as error:
            raise StreamsError(
                f"the event of {len(value)} bytes is larger than KAFKA_MAX_MESSAGE_BYTES="
                f"{self._settings.kafka_max_message_bytes}: submit an image_uri instead"
            ) from error


class TopicReader:
    """Reads topics from a position on, without a group; an async context manager.

    Start it before publishing what it is to see, or with ``from_beginning``.
    """

    def __init__(self, settings: Settings, *topics: str, from_beginning: bool = True) -> None:
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
            raise BrokerAway(self._settings, error) from error
        self._consumer = consumer
        if not self._from_beginning:
            # Known before anything is published. The embedded broker's latest offset lies up to one
            # batch too early, which only means that a few older records are seen as well.
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
        """Records as the broker has them; ends at the end of every partition, or follows on."""
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
        """scored-face events; what is not one is passed over."""
        async for record in self.records(follow=follow):
            with contextlib.suppress(InvalidEvent):
                yield decode_scored_face(record.value)

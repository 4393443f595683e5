"""Publish image-submitted events to Kafka."""

from __future__ import annotations

from types import TracebackType

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from schemas.codec import encode_image_submitted, encode_image_submitted_binary
from schemas.image_submitted import ImageSubmitted
from streams.config.kafka_settings import KafkaSettings
from streams.errors import StreamsError
from streams.kafka.connection import BrokerUnavailable, client_options
from streams.kafka.topics import topic_names

JSON_TYPE = b"application/json"


class Submitter:
    """Publishes image-submitted events; an async context manager.

    Entering it raises ``BrokerUnavailable`` when no broker answers.
    """

    def __init__(self, settings: KafkaSettings) -> None:
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
            raise BrokerUnavailable(self._settings, error) from error
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

        With a ``media_type`` the picture is sent in binary mode, otherwise the event is JSON.
        Raises ``StreamsError`` when the event is larger than ``KAFKA_MAX_MESSAGE_BYTES``.
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

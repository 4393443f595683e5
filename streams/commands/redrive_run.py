"""A re-drive: dead letters of one reason are sent back to the topic they came from.

Each run starts where the previous run for its reason stopped, and ends at the fallback topic's end
as of its start: newer dead letters may be failures of events that this run has sent back, and are
left to the next run. Offsets are committed after the broker has acknowledged the events sent back,
so an interrupted run sends some of them twice and loses none.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from schemas.errors import InvalidEvent
from schemas.fallback import FallbackHeaders, FallbackReason, without_failure
from streams.config.kafka_settings import KafkaSettings
from streams.errors import StreamsError
from streams.kafka.connection import BrokerUnavailable, client_options
from streams.kafka.topics import HEADER_ROOM, largest_dead_letter, topic_names

POLL_MS = 500
#: Dead letters that are sent, acknowledged and committed together.
BATCH = 100
#: The run fails when records are left and none arrives for this long.
IDLE_TIMEOUT_S = 60.0


@dataclass
class Redriven:
    """The counts of a run."""

    read: int = 0
    sent: int = 0
    """Dead letters sent back; in a dry run, those that would be."""
    foreign: int = 0
    """Records that are not dead letters of facestream, or whose source is another topic."""
    empty: int = 0
    """Dead letters of the reason that hold no event, so that there is nothing to send."""
    refused: int = 0
    """Dead letters of the reason that are too large for their source topic."""


def group_of(settings: KafkaSettings, reason: FallbackReason) -> str:
    """Return the consumer group that holds the offsets of a reason's runs."""
    return f"{settings.kafka_topic_prefix}redrive-{reason.value}"


async def redrive(
    settings: KafkaSettings,
    reason: FallbackReason,
    *,
    dry_run: bool = False,
    on_refused: Callable[[ConsumerRecord], None] = lambda _: None,
) -> Redriven:
    """Send back the dead letters of a reason that no earlier run has read.

    A ``dry_run`` sends and commits nothing. ``on_refused`` is called with each record that is too
    large for its source topic. Raises ``StreamsError``; the next run continues after the committed
    offsets.
    """
    partitions = await _partitions(settings, topic_names(settings).simulated_fallback)
    options = client_options(settings)
    consumer = AIOKafkaConsumer(
        **options,
        group_id=group_of(settings, reason),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    producer = AIOKafkaProducer(
        **options, acks="all", max_request_size=largest_dead_letter(settings) + HEADER_ROOM
    )
    try:
        async with consumer, producer:
            # Assigned, not subscribed: this run reads every partition.
            consumer.assign(partitions)
            run = _Run(settings, reason, consumer, producer, on_refused, dry_run=dry_run)
            return await run.until(await consumer.end_offsets(partitions))
    except (KafkaError, OSError) as error:
        raise StreamsError(
            f"re-driving stopped: {str(error) or type(error).__name__}; run it again to "
            "continue after the events sent"
        ) from error


async def _partitions(settings: KafkaSettings, topic: str) -> list[TopicPartition]:
    admin = AIOKafkaAdminClient(**client_options(settings))
    try:
        await admin.start()
        if topic not in await admin.list_topics():
            raise StreamsError(f"there is no topic {topic}; see KAFKA_TOPIC_PREFIX")
        [described] = await admin.describe_topics([topic])
    except (KafkaError, OSError) as error:
        raise BrokerUnavailable(settings, error) from error
    finally:
        await admin.close()
    return [TopicPartition(topic, one["partition"]) for one in described["partitions"]]


class _Run:
    """One run over the fallback topic."""

    def __init__(
        self,
        settings: KafkaSettings,
        reason: FallbackReason,
        consumer: AIOKafkaConsumer,
        producer: AIOKafkaProducer,
        on_refused: Callable[[ConsumerRecord], None],
        *,
        dry_run: bool,
    ) -> None:
        names = topic_names(settings)
        # A header may name any topic; a run writes only to topics that dead letters come from.
        self._sources = (names.image_submitted, names.scored_face)
        self._reason = reason
        self._consumer = consumer
        self._producer = producer
        self._on_refused = on_refused
        self._dry_run = dry_run
        self._done = Redriven()

    async def until(self, ends: dict[TopicPartition, int]) -> Redriven:
        """Read up to these offsets."""
        unread = await self._unread(ends)
        last_progress = time.monotonic()
        while unread:
            if await self._read_batch(unread):
                last_progress = time.monotonic()
            elif time.monotonic() - last_progress > IDLE_TIMEOUT_S:
                raise StreamsError(
                    f"no record arrived for {IDLE_TIMEOUT_S:.0f} s, before the end of "
                    f"{', '.join(f'{tp.topic}-{tp.partition}' for tp in unread)}"
                )
            unread = await self._unread(unread)
        return self._done

    async def _unread(self, ends: dict[TopicPartition, int]) -> dict[TopicPartition, int]:
        # The consumer's position counts: some offsets before the end have no record.
        return {tp: end for tp, end in ends.items() if await self._consumer.position(tp) < end}

    async def _read_batch(self, ends: dict[TopicPartition, int]) -> bool:
        """Send back one batch and commit it. Returns whether there was a record."""
        batch = await self._consumer.getmany(*ends, timeout_ms=POLL_MS, max_records=BATCH)
        done = {
            partition: min(records[-1].offset + 1, ends[partition])
            for partition, records in batch.items()
            if records
        }
        await self._send_back(
            [
                record
                for partition, records in batch.items()
                for record in records
                if record.offset < ends[partition]
            ]
        )
        if done and not self._dry_run:
            await self._consumer.commit(done)
        return bool(done)

    async def _send_back(self, records: Sequence[ConsumerRecord]) -> None:
        """Send back the dead letters of the reason, and wait for the broker's acks."""
        self._done.read += len(records)
        letters = [
            (record, topic) for record in records if (topic := self._source_of(record)) is not None
        ]
        if self._dry_run:
            self._done.sent += len(letters)
            return
        await asyncio.gather(*(self._send(record, topic) for record, topic in letters))

    def _source_of(self, record: ConsumerRecord) -> str | None:
        """Return the topic that a record is sent back to, or None."""
        try:
            failure = FallbackHeaders.from_headers(record.headers)
        except InvalidEvent:
            self._done.foreign += 1
            return None
        if failure.source_topic not in self._sources:
            self._done.foreign += 1
            return None
        if failure.fallback_reason is not self._reason:
            return None
        if not record.value:
            self._done.empty += 1
            return None
        return failure.source_topic

    async def _send(self, record: ConsumerRecord, topic: str) -> None:
        headers = without_failure(record.headers)
        try:
            await self._producer.send_and_wait(topic, record.value, key=record.key, headers=headers)
        except MessageSizeTooLargeError:
            self._done.refused += 1
            self._on_refused(record)
        else:
            self._done.sent += 1

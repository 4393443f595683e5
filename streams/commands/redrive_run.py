"""Re-driving: dead letters of one reason, produced back to the topic that they came from.

A run takes the letters from where the last run of its reason ended, up to the ends that the
fallback topic has when it starts: newer letters may be failures of what it has sent back, and are
the next run's. It commits what it has read, and only after the broker has what was sent of it. So a
run that is cut off sends some letters again, and leaves out none.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from schemas.errors import InvalidEvent
from schemas.fallback import FallbackHeaders, FallbackReason, without_failure
from streams.config.settings import Settings
from streams.errors import StreamsError
from streams.kafka.connection import BrokerUnavailable, client_options
from streams.kafka.topics import HEADER_ROOM, largest_letter, topic_names

POLL_MS = 500
#: Letters that are sent before their acks are waited for and their offsets committed.
PIECE = 100
#: With letters to come and none arriving for this long, something is wrong.
PATIENCE_S = 60.0


@dataclass
class Redriven:
    """What a run has done."""

    read: int = 0
    sent: int = 0
    """Letters sent back; those that would be, in a dry run."""
    foreign: int = 0
    """Records without a failure of ours, or from a topic that is none of ours."""
    empty: int = 0
    """Letters of the reason whose event was left at its source, or was none: nothing to send."""
    refused: int = 0
    """Letters of the reason that are too large for their topic; they stay where they are."""


def group_of(settings: Settings, reason: FallbackReason) -> str:
    """The consumer group that remembers how far the letters of a reason were sent back."""
    return f"{settings.kafka_topic_prefix}redrive-{reason.value}"


async def redrive(
    settings: Settings,
    reason: FallbackReason,
    *,
    dry_run: bool = False,
    on_refused: Callable[[ConsumerRecord], None] = lambda _: None,
) -> Redriven:
    """Send back the letters of a reason that no run has taken yet.

    A ``dry_run`` sends nothing and remembers nothing. ``on_refused`` is told of each letter that is
    too large for its topic. Raises ``StreamsError``; the next run goes on after what was committed.
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
        **options, acks="all", max_request_size=largest_letter(settings) + HEADER_ROOM
    )
    try:
        async with consumer, producer:
            # Not by the group's own sharing: every partition is read up to its end of now.
            consumer.assign(partitions)
            run = _Run(settings, reason, consumer, producer, on_refused, dry_run=dry_run)
            return await run.to(await consumer.end_offsets(partitions))
    except (KafkaError, OSError) as error:
        raise StreamsError(
            f"re-driving stopped: {str(error) or type(error).__name__}; run it again, it goes on "
            "after what was sent"
        ) from error


async def _partitions(settings: Settings, topic: str) -> list[TopicPartition]:
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
    """One pass over the fallback topic."""

    def __init__(
        self,
        settings: Settings,
        reason: FallbackReason,
        consumer: AIOKafkaConsumer,
        producer: AIOKafkaProducer,
        on_refused: Callable[[ConsumerRecord], None],
        *,
        dry_run: bool,
    ) -> None:
        names = topic_names(settings)
        # A header may name any topic; only those that our dead letters come from are written to.
        self._sources = (names.image_submitted, names.scored_face)
        self._reason = reason
        self._consumer = consumer
        self._producer = producer
        self._on_refused = on_refused
        self._dry_run = dry_run
        self._done = Redriven()

    async def to(self, ends: dict[TopicPartition, int]) -> Redriven:
        """Read up to these ends, and not beyond them."""
        open_ends = await self._still_open(ends)
        last_progress = time.monotonic()
        while open_ends:
            batches = await self._consumer.getmany(
                *open_ends, timeout_ms=POLL_MS, max_records=PIECE
            )
            read: dict[TopicPartition, int] = {}
            letters: list[ConsumerRecord] = []
            for partition, records in batches.items():
                before_end = [one for one in records if one.offset < open_ends[partition]]
                letters += before_end
                if records:
                    read[partition] = min(records[-1].offset + 1, open_ends[partition])
            await self._take(letters)
            if read and not self._dry_run:
                await self._consumer.commit(read)
            if read:
                last_progress = time.monotonic()
            elif time.monotonic() - last_progress > PATIENCE_S:
                raise StreamsError(
                    f"nothing came for {PATIENCE_S:.0f} s, before the end of "
                    f"{', '.join(f'{tp.topic}-{tp.partition}' for tp in open_ends)}"
                )
            open_ends = await self._still_open(open_ends)
        return self._done

    async def _still_open(self, ends: dict[TopicPartition, int]) -> dict[TopicPartition, int]:
        # The consumer's own position: offsets before the end need not all be records.
        return {tp: end for tp, end in ends.items() if await self._consumer.position(tp) < end}

    async def _take(self, records: Sequence[ConsumerRecord]) -> None:
        """Send back those of the reason, and wait until the broker has them."""
        self._done.read += len(records)
        letters = [
            (record, topic) for record in records if (topic := self._source_of(record)) is not None
        ]
        if self._dry_run:
            self._done.sent += len(letters)
            return
        await asyncio.gather(*(self._send(record, topic) for record, topic in letters))

    def _source_of(self, record: ConsumerRecord) -> str | None:
        """The topic that a record is to go back to; None for one that is not to be sent."""
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
        headers: list[Any] = without_failure(record.headers)
        try:
            await self._producer.send_and_wait(topic, record.value, key=record.key, headers=headers)
        except MessageSizeTooLargeError:
            self._done.refused += 1
            self._on_refused(record)
        else:
            self._done.sent += 1

"""Gaps in a partition: deleted, expired or compacted records cause no stall and no loss.

Faust commits consecutive acknowledged offsets only. A gap in the log must not hold up commits, and
must not let a commit skip an event behind it.
"""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin.records_to_delete import RecordsToDelete

from schemas.codec import encode_image_submitted_binary
from streams.kafka.connection import client_options
from streams.kafka.topic_creation import ensure_topics
from streams.kafka.topic_reader import TopicReader
from tests.integration.stack import Stack, image_event
from tests.kafka.load import all_answered
from tests.kafka.topic_admin import admin_client, change_topic

PARTITION = 0


async def publish(stack: Stack, count: int) -> list[UUID]:
    """Publish to one partition: every fifth event has a user of its own, the rest share three."""
    ids = []
    async with stack.producer() as producer:
        for number in range(count):
            user = f"user-{number % 3}" if number % 5 else f"once-{uuid4()}"
            event = image_event(user, b"x", use_real_ml=False)
            value, headers = encode_image_submitted_binary(event, "image/jpeg")
            await producer.send_and_wait(
                stack.topics.image_submitted,
                value,
                key=event.user_id.encode(),
                headers=headers,
                partition=PARTITION,
            )
            ids.append(event.event_id)
    return ids


async def offsets(stack: Stack) -> list[int]:
    """Return the offsets that the input partition still holds."""
    place = TopicPartition(stack.topics.image_submitted, PARTITION)
    consumer = AIOKafkaConsumer(**client_options(stack.settings), auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([place])
        end = (await consumer.end_offsets([place]))[place]
        held: list[int] = []
        while await consumer.position(place) < end:
            batches = await consumer.getmany(timeout_ms=200)
            held += [record.offset for batch in batches.values() for record in batch]
        return held
    finally:
        await consumer.stop()


async def committed(stack: Stack) -> int | None:
    """Return the group's committed offset of the input partition."""
    place = TopicPartition(stack.topics.image_submitted, PARTITION)
    async with admin_client(client_options(stack.settings)) as admin:
        found = await admin.list_consumer_group_offsets(stack.settings.kafka_group_id)
    return found[place].offset if place in found else None


async def commits_up_to(stack: Stack, offset: int) -> None:
    """Wait until the worker has committed this offset."""
    async with asyncio.timeout(30):
        while await committed(stack) != offset:
            await asyncio.sleep(0.1)


async def delete_up_to(stack: Stack, offset: int) -> None:
    """Delete records at once, as retention does later."""
    place = TopicPartition(stack.topics.image_submitted, PARTITION)
    async with admin_client(client_options(stack.settings)) as admin:
        await admin.delete_records({place: RecordsToDelete(offset)})


async def test_records_deleted_before_the_first_start_cause_no_stall(stack: Stack) -> None:
    """The log begins at offset 30; the rest is answered and committed to the end."""
    await ensure_topics(stack.settings)
    ids = await publish(stack, 100)
    await delete_up_to(stack, 30)
    with stack.worker():
        await all_answered(stack, set(ids[30:]), deadline_s=40)
        await commits_up_to(stack, 100)


async def test_records_that_expire_while_no_worker_runs_cause_no_stall(stack: Stack) -> None:
    """The committed offset precedes the log, so reading starts at the log's beginning."""
    await ensure_topics(stack.settings)
    first = await publish(stack, 40)
    with stack.worker() as worker:
        await all_answered(stack, set(first), deadline_s=40)
        await commits_up_to(stack, 40)
        assert worker.stop() == 0
    second = await publish(stack, 60)
    await delete_up_to(stack, 70)
    with stack.worker():
        await all_answered(stack, set(second[30:]), deadline_s=40)
        await commits_up_to(stack, 100)


async def test_a_compacted_topic_is_answered_to_its_end(stack: Stack) -> None:
    """Of most users only the last event is left; each remaining event is answered."""
    await ensure_topics(stack.settings)
    options = client_options(stack.settings)
    topic = stack.topics.image_submitted
    await change_topic(
        options,
        topic,
        {
            "cleanup.policy": "compact",
            "min.cleanable.dirty.ratio": "0.001",
            "segment.bytes": str(1024 * 1024),
            "segment.ms": "200",
            "max.compaction.lag.ms": "200",
        },
    )
    ids = await publish(stack, 200)
    # A record after segment.ms closes the segment, which the cleaner may then compact.
    async with asyncio.timeout(60):
        while len(held := await offsets(stack)) > 100:
            ids += await publish(stack, 1)
            await asyncio.sleep(0.3)
    # Stop compaction, which could remove an event before the worker has read it.
    await change_topic(options, topic, {"cleanup.policy": "delete"})
    while held != (held := await offsets(stack)):
        await asyncio.sleep(1)
    missing = held[-1] + 1 - held[0] - len(held)
    assert missing > 20
    with stack.worker():
        more = await publish(stack, 20)
        await all_answered(stack, {ids[offset] for offset in held} | set(more), deadline_s=40)
        await commits_up_to(stack, len(ids) + len(more))


async def test_transaction_markers_do_not_hold_up_commits(
    stack: Stack,
) -> None:
    """Each transaction leaves a gap of one offset; plain Faust passes one gap per second."""
    await ensure_topics(stack.settings)
    ids = []
    async with stack.producer(transactional_id=f"{stack.settings.kafka_group_id}-tx") as producer:
        for number in range(100):
            event = image_event(f"user-{number}", b"x", use_real_ml=False)
            value, headers = encode_image_submitted_binary(event, "image/jpeg")
            async with producer.transaction():
                await producer.send_and_wait(
                    stack.topics.image_submitted, value, headers=headers, partition=PARTITION
                )
            ids.append(event.event_id)
    with stack.worker():
        await all_answered(stack, set(ids), deadline_s=40)
        # The marker behind the last event is never acknowledged.
        await commits_up_to(stack, 2 * len(ids) - 1)


async def test_an_event_of_an_aborted_transaction_is_not_scored(stack: Stack) -> None:
    """Consumers that read committed records do not receive it."""
    await ensure_topics(stack.settings)
    events = [image_event("user", b"x", use_real_ml=False) for _ in range(3)]
    async with stack.producer(transactional_id=f"{stack.settings.kafka_group_id}-tx") as producer:
        for number, event in enumerate(events):
            value, headers = encode_image_submitted_binary(event, "image/jpeg")
            await producer.begin_transaction()
            await producer.send_and_wait(
                stack.topics.image_submitted, value, headers=headers, partition=PARTITION
            )
            if number == 1:
                await producer.abort_transaction()
            else:
                await producer.commit_transaction()
    first, aborted, last = (event.event_id for event in events)
    with stack.worker():
        await all_answered(stack, {first, last}, deadline_s=40)
        await commits_up_to(stack, 5)
    async with TopicReader(stack.settings, stack.topics.scored_face) as reader:
        answered = {face.event_id async for face in reader.scored_faces(follow=False)}
    assert answered == {first, last}, f"{aborted} belongs to an aborted transaction"

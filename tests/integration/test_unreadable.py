"""Records that aiokafka cannot read, through a real broker: no reader stops at them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer

from schemas.codec import encode_scored_face
from schemas.fallback import FallbackHeaders
from streams.kafka.answer_follower import AnswerFollower
from streams.kafka.unreadable_records import UNREADABLE
from streams.local.worker_process import WorkerProcess
from tests.batches import (
    ATTRIBUTES_AT,
    BAD_NAME_AS_TEXT,
    CONTROL,
    COUNT_AT,
    GZIP,
    LZ4,
    PLACE_OF_NAME,
    RECORDS_AT,
    SNAPPY,
    UNKNOWN_CODEC,
    ZSTD,
    Record,
    batch,
    produce,
    put,
)
from tests.integration.fallbacks import simulated_face
from tests.integration.stack import Stack, first_record, new_event_id, running_stack
from tools.brokers import apache_is_chosen

#: Changes that make a batch of one record unreadable. A broker may refuse such a batch.
UNREADABLE_BATCHES = {
    "an unknown codec": put(ATTRIBUTES_AT, "h", UNKNOWN_CODEC),
    "invalid zstd": put(ATTRIBUTES_AT, "h", ZSTD),
    "invalid gzip": put(ATTRIBUTES_AT, "h", GZIP),
    "a key longer than its record": put(RECORDS_AT + 4, "B", 0x7E),
    "an offset outside its batch": put(RECORDS_AT + 3, "B", 0x7E),
}


def skip_as_refused(what: str) -> None:
    """Skip the test; fail if the embedded broker should have accepted the batch."""
    if not apache_is_chosen():
        assert what == "an unknown codec", f"the embedded broker refuses {what}"
    pytest.skip(f"this broker does not take a batch with {what}")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Start a stack with one partition, so that each record blocks those after it."""
    with running_stack(tmp_path_factory.mktemp("stack"), KAFKA_PARTITIONS="1") as running:
        yield running


@pytest.fixture(scope="module")
def worker(stack: Stack) -> Iterator[WorkerProcess]:
    """Start one worker for all tests of this module; it must survive them."""
    with stack.worker() as running:
        yield running
        assert running.poll() is None


def invalid_event(mark: bytes, *headers: tuple[str, bytes | None]) -> Record:
    """Create a record that becomes a dead letter."""
    return b"key", b"not json", [("mark", mark), *headers]


async def assert_worker_continues(stack: Stack, producer: AIOKafkaProducer) -> None:
    """Check that an event after all others is answered."""
    event_id = new_event_id()
    value = {"event_id": str(event_id), "user_id": "after", "use_real_ml": False}
    value["image_base64"] = "AAAA"
    async with stack.reader(stack.topics.scored_face) as reader:
        await producer.send_and_wait(stack.topics.image_submitted, json.dumps(value).encode())
        await first_record(reader, lambda r: str(event_id).encode() in (r.value or b""))


async def test_a_header_name_that_is_not_utf8_is_escaped(
    stack: Stack, worker: WorkerProcess
) -> None:
    """The record and its neighbours in the batch become dead letters like any invalid event."""
    mark = str(uuid4()).encode()
    data = batch([invalid_event(mark), invalid_event(mark, (PLACE_OF_NAME, b"x"), ("null", None))])
    async with stack.producer() as producer:
        async with stack.reader(stack.topics.simulated_fallback) as reader:
            assert await produce(producer, stack.topics.image_submitted, data) == 0
            letter = await first_record(
                reader, lambda r: ("mark", mark) in r.headers and len(r.headers) > 10
            )
        assert letter.headers[1:3] == ((BAD_NAME_AS_TEXT, b"x"), ("null", None))
        assert (letter.key, letter.value) == (b"key", b"not json")
        await assert_worker_continues(stack, producer)


@pytest.mark.parametrize("compression", [GZIP, SNAPPY, LZ4, ZSTD])
async def test_each_compression_codec_is_read(
    compression: int, stack: Stack, worker: WorkerProcess
) -> None:
    """These are all codecs of Kafka."""
    mark = str(uuid4()).encode()
    async with stack.producer() as producer:
        async with stack.reader(stack.topics.simulated_fallback) as reader:
            data = batch([invalid_event(mark)], compression=compression)
            assert await produce(producer, stack.topics.image_submitted, data) == 0
            letter = await first_record(reader, lambda r: ("mark", mark) in r.headers)
        assert letter.value == b"not json"


@pytest.mark.parametrize("name", UNREADABLE_BATCHES)
async def test_an_unreadable_batch_becomes_a_dead_letter(
    name: str, stack: Stack, worker: WorkerProcess
) -> None:
    """The letter has the batch's bytes and the reason, and the worker continues after it."""
    mark = str(uuid4()).encode()
    data = batch([invalid_event(mark)], change=UNREADABLE_BATCHES[name])
    async with stack.producer() as producer:
        async with stack.reader(stack.topics.simulated_fallback) as reader:
            if await produce(producer, stack.topics.image_submitted, data):
                skip_as_refused(name)
            letter = await first_record(reader, lambda r: (r.value or b"")[61:] == data[61:])
        assert letter.headers[0][0] == UNREADABLE
        failure = FallbackHeaders.from_headers(letter.headers)
        assert failure.fallback_reason == "invalid_event"
        await assert_worker_continues(stack, producer)


async def test_a_wrong_checksum(stack: Stack, worker: WorkerProcess) -> None:
    """A batch that the disk of a broker has damaged becomes one dead letter."""
    mark = str(uuid4()).encode()
    data = batch([invalid_event(mark)], damage=put(RECORDS_AT + 20, "B", 0))
    async with stack.producer() as producer:
        async with stack.reader(stack.topics.simulated_fallback) as reader:
            if await produce(producer, stack.topics.image_submitted, data):
                skip_as_refused("a wrong checksum")
            letter = await first_record(reader, lambda r: (r.value or b"")[61:] == data[61:])
        assert letter.headers[0][0] == UNREADABLE
        assert b"CRC" in (letter.headers[0][1] or b"")
        await assert_worker_continues(stack, producer)


async def test_a_wrong_record_count_and_a_control_batch(
    stack: Stack, worker: WorkerProcess
) -> None:
    """The existing records of the first are read, the second is skipped."""
    mark = str(uuid4()).encode()
    too_few = batch([invalid_event(mark)], change=put(COUNT_AT, "i", 100))
    marker = batch([invalid_event(b"unread")], change=put(ATTRIBUTES_AT, "h", CONTROL))
    async with stack.producer() as producer:
        async with stack.reader(stack.topics.simulated_fallback) as reader:
            if await produce(producer, stack.topics.image_submitted, too_few):
                skip_as_refused("a count of records that is too high")
            await first_record(reader, lambda r: ("mark", mark) in r.headers)
        await produce(producer, stack.topics.image_submitted, marker)
        await assert_worker_continues(stack, producer)


@pytest.mark.parametrize("name", ["a header name", "a key longer than its record"])
async def test_unreadable_records_in_other_topics_stop_no_reader(
    name: str, stack: Stack, worker: WorkerProcess
) -> None:
    """Indexer, dead letter agent, topic reader and answer follower continue."""
    face = simulated_face(new_event_id(), user_id="waiting")
    record: Record = (b"waiting", b"not json", [(PLACE_OF_NAME, b"x")])
    data = batch([record], change=UNREADABLE_BATCHES.get(name, lambda _: None))
    follower = AnswerFollower(stack.settings)
    async with stack.producer() as producer:
        awaited = await follower.expect(face.event_id, face.user_id)
        for topic in (stack.topics.scored_face, stack.topics.simulated_fallback):
            if await produce(producer, topic, data):
                skip_as_refused(name)
        await producer.send_and_wait(
            stack.topics.scored_face, encode_scored_face(face), key=b"waiting"
        )
        assert await asyncio.wait_for(awaited.answer, 30) == (face,)
        await follower.close()
        async with stack.reader(stack.topics.scored_face) as reader, asyncio.timeout(30):
            async for one in reader.scored_faces(follow=True):
                if one.event_id == face.event_id:
                    break
        # The indexer made a dead letter of the bad record in scored-face.
        await assert_worker_continues(stack, producer)

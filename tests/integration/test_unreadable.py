"""Records that aiokafka cannot read, through a real broker: no reader of ours stops at them."""

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
from tests.integration.stack import Stack, first_record, new_event_id, running_stack
from tests.integration.test_answer_follower import simulated
from tools.brokers import apache_is_chosen

#: Batches of one record that nothing can be read from. A broker may refuse to take them.
UNREADABLE_BATCHES = {
    "a codec that nobody knows": put(ATTRIBUTES_AT, "h", UNKNOWN_CODEC),
    "zstd that is none": put(ATTRIBUTES_AT, "h", ZSTD),
    "gzip that is none": put(ATTRIBUTES_AT, "h", GZIP),
    "a key longer than its record": put(RECORDS_AT + 4, "B", 0x7E),
    "an offset outside its batch": put(RECORDS_AT + 3, "B", 0x7E),
}


def skip_as_refused(what: str) -> None:
    """Skip; but what the embedded broker takes is tested there, or nobody would test it."""
    if not apache_is_chosen():
        assert what == "a codec that nobody knows", f"the embedded broker refuses {what}"
    pytest.skip(f"this broker does not take a batch with {what}")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One partition, in which everything stands behind everything else."""
    with running_stack(tmp_path_factory.mktemp("stack"), KAFKA_PARTITIONS="1") as running:
        yield running


@pytest.fixture(scope="module")
def worker(stack: Stack) -> Iterator[WorkerProcess]:
    """One worker for all tests of this module; it must live to their end."""
    with stack.worker() as running:
        yield running
        assert running.poll() is None


def nobody_s(mark: bytes, *headers: tuple[str, bytes | None]) -> Record:
    """A record that ends in the fallback topic."""
    return b"nobody", b"not json", [("mark", mark), *headers]


async def go_on(stack: Stack, producer: AIOKafkaProducer) -> None:
    """A sound event behind everything else is answered."""
    event_id = new_event_id()
    value = {"event_id": str(event_id), "user_id": "after", "use_real_ml": False}
    value["image_base64"] = "AAAA"
    async with stack.reader(stack.topics.scored_face) as reader:
        await producer.send_and_wait(stack.topics.image_submitted, json.dumps(value).encode())
        await first_record(reader, lambda r: str(event_id).encode() in (r.value or b""))


async def test_a_header_name_that_is_not_utf8_is_an_event_like_any_other(
    stack: Stack, worker: WorkerProcess
) -> None:
    """It and its neighbours in the batch are kept, with the name in escapes; the worker goes on."""
    mark = str(uuid4()).encode()
    data = batch([nobody_s(mark), nobody_s(mark, (PLACE_OF_NAME, b"x"), ("null", None))])
    async with stack.producer() as producer:
        async with stack.reader(stack.topics.simulated_fallback) as reader:
            assert await produce(producer, stack.topics.image_submitted, data) == 0
            letter = await first_record(
                reader, lambda r: ("mark", mark) in r.headers and len(r.headers) > 10
            )
        assert letter.headers[1:3] == ((BAD_NAME_AS_TEXT, b"x"), ("null", None))
        assert (letter.key, letter.value) == (b"nobody", b"not json")
        await go_on(stack, producer)


@pytest.mark.parametrize("compression", [GZIP, SNAPPY, LZ4, ZSTD])
async def test_producers_may_compress_as_they_like(
    compression: int, stack: Stack, worker: WorkerProcess
) -> None:
    """All that Kafka knows can be read."""
    mark = str(uuid4()).encode()
    async with stack.producer() as producer:
        async with stack.reader(stack.topics.simulated_fallback) as reader:
            data = batch([nobody_s(mark)], compression=compression)
            assert await produce(producer, stack.topics.image_submitted, data) == 0
            letter = await first_record(reader, lambda r: ("mark", mark) in r.headers)
        assert letter.value == b"not json"


@pytest.mark.parametrize("name", UNREADABLE_BATCHES)
async def test_what_cannot_be_read_is_kept_as_it_is(
    name: str, stack: Stack, worker: WorkerProcess
) -> None:
    """The batch's bytes are a dead letter, which says why; the worker goes on behind it."""
    mark = str(uuid4()).encode()
    data = batch([nobody_s(mark)], change=UNREADABLE_BATCHES[name])
    async with stack.producer() as producer:
        async with stack.reader(stack.topics.simulated_fallback) as reader:
            if await produce(producer, stack.topics.image_submitted, data):
                skip_as_refused(name)
            letter = await first_record(reader, lambda r: (r.value or b"")[61:] == data[61:])
        assert letter.headers[0][0] == UNREADABLE
        failure = FallbackHeaders.from_headers(letter.headers)
        assert failure.fallback_reason == "invalid_event"
        await go_on(stack, producer)


async def test_a_checksum_that_stays_wrong(stack: Stack, worker: WorkerProcess) -> None:
    """As when the broker's disk has gone bad: fetched a few times, then kept as it is."""
    mark = str(uuid4()).encode()
    data = batch([nobody_s(mark)], damage=put(RECORDS_AT + 20, "B", 0))
    async with stack.producer() as producer:
        async with stack.reader(stack.topics.simulated_fallback) as reader:
            if await produce(producer, stack.topics.image_submitted, data):
                skip_as_refused("a wrong checksum")
            letter = await first_record(reader, lambda r: (r.value or b"")[61:] == data[61:])
        assert letter.headers[0][0] == UNREADABLE
        assert b"CRC" in (letter.headers[0][1] or b"")
        await go_on(stack, producer)


async def test_a_batch_that_promises_too_much_and_one_that_is_a_marker(
    stack: Stack, worker: WorkerProcess
) -> None:
    """What there is of the first is read, the second is passed over."""
    mark = str(uuid4()).encode()
    too_few = batch([nobody_s(mark)], change=put(COUNT_AT, "i", 100))
    marker = batch([nobody_s(b"never")], change=put(ATTRIBUTES_AT, "h", CONTROL))
    async with stack.producer() as producer:
        async with stack.reader(stack.topics.simulated_fallback) as reader:
            if await produce(producer, stack.topics.image_submitted, too_few):
                skip_as_refused("a count of records that is too high")
            await first_record(reader, lambda r: ("mark", mark) in r.headers)
        await produce(producer, stack.topics.image_submitted, marker)
        await go_on(stack, producer)


@pytest.mark.parametrize("name", ["a header name", "a key longer than its record"])
async def test_in_the_other_topics_it_stops_nobody_either(
    name: str, stack: Stack, worker: WorkerProcess
) -> None:
    """Index, dead letters, the commands' reader and the follower of answers read on."""
    face = simulated(new_event_id(), user_id="waiting")
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
        # The bad one in scored-face is a dead letter of the indexer's by now, and more can come.
        await go_on(stack, producer)

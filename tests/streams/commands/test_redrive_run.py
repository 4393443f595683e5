"""Re-drives: each dead letter is sent back once and unchanged, and none is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError, MessageSizeTooLargeError

from schemas.fallback import FallbackReason
from streams.commands.redrive_run import Redriven, group_of, redrive
from streams.config.settings import Settings, load_settings
from streams.dead_letters import Failure, fallback_message
from streams.errors import StreamsError
from streams.kafka.connection import client_options
from streams.kafka.topic_creation import ensure_topics
from streams.kafka.topic_reader import TopicReader
from streams.kafka.topics import topic_names
from streams.local.embedded_broker import EmbeddedBroker, free_port
from tests.fakes import incoming

NO_FACE, TIMEOUT = FallbackReason.NO_FACE, FallbackReason.INFERENCE_TIMEOUT
#: Headers of a sender; one has the name of a failure header.
HEADERS = (("traceparent", b"00-1-2-01"), ("worker", b"the sender's"), ("empty", None))


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(free_port()) as running:
        yield running


@pytest.fixture
async def settings(broker: EmbeddedBroker) -> Settings:
    """Settings with topics of this test only."""
    made = load_settings(
        kafka_bootstrap_servers=broker.address,
        kafka_topic_prefix=f"t{uuid4().hex}.",
        kafka_partitions=2,
        kafka_max_message_bytes=64 * 1024,
    )
    await ensure_topics(made)
    return made


@pytest.fixture
async def letters(settings: Settings) -> AsyncIterator[Letters]:
    async with AIOKafkaProducer(**client_options(settings), acks="all") as producer:
        yield Letters(settings, producer)


class Letters:
    """Writes to the fallback topic, as workers and other programs do."""

    def __init__(self, settings: Settings, producer: AIOKafkaProducer) -> None:
        self._names = topic_names(settings)
        self._settings = settings
        self._producer = producer

    async def add(self, key: str, reason: FallbackReason, **fields: Any) -> None:
        """Add a dead letter, in the partition of its key's last digit."""
        fields = {"topic": self._names.image_submitted, "headers": HEADERS, **fields}
        source = incoming(fields.pop("value", b"picture"), key=key.encode(), **fields)
        letter = fallback_message(source, Failure(reason, "detail"), self._names.simulated_fallback)
        await self.raw(key, letter.value, list(letter.headers))

    async def raw(self, key: str, value: bytes | None, headers: list[Any]) -> None:
        """Add any record."""
        await self._producer.send_and_wait(
            self._names.simulated_fallback,
            value,
            key=key.encode(),
            headers=headers,
            partition=int(key[-1]) % 2,
        )

    async def sent_back(self, topic: str | None = None) -> dict[str, ConsumerRecord]:
        """The records in the source topic by key; fails when one is there twice."""
        async with TopicReader(self._settings, topic or self._names.image_submitted) as reader:
            records = [record async for record in reader.records(follow=False)]
        found = {record.key.decode(): record for record in records}
        assert len(found) == len(records), "sent twice"
        return found


async def until_sent(settings: Settings, reason: FallbackReason, number: int) -> Redriven:
    """Run until ``number`` dead letters are sent; return the sums of all runs.

    One run may not be enough: the embedded broker may report the end of a topic a moment late.
    """
    whole = Redriven()
    async with asyncio.timeout(20):
        while whole.sent < number:
            done = await redrive(settings, reason)
            for name, value in vars(done).items():
                setattr(whole, name, getattr(whole, name) + value)
    return whole


async def test_dead_letters_of_the_reason_are_sent_back_unchanged(
    settings: Settings, letters: Letters
) -> None:
    """Value, key and headers; other reasons and foreign records stay where they are."""
    await letters.raw("foreign-0", b"of another program", [])
    await letters.raw("foreign-1", b"of another program", [("fallback_reason", b"no_face")])
    await letters.add("other-0", TIMEOUT)
    await letters.add("elsewhere-1", NO_FACE, topic="any-topic-that-a-header-names")
    await letters.add("left-1", NO_FACE, value=b"")
    for number in range(4):
        await letters.add(f"anna-{number}", NO_FACE, value=b"\x00\xff picture %d" % number)
    done = await until_sent(settings, NO_FACE, 4)
    assert Redriven(read=9, sent=4, foreign=3, empty=1) == done
    back = await letters.sent_back()
    assert {f"anna-{number}" for number in range(4)} == set(back)
    assert b"\x00\xff picture 3" == back["anna-3"].value
    assert HEADERS == back["anna-3"].headers
    assert 0 == (await redrive(settings, NO_FACE)).read, "the second run has nothing to do"
    done = await until_sent(settings, TIMEOUT, 1)
    assert (9, 1) == (done.read, done.sent), "each reason has its own offsets"
    assert "other-0" in await letters.sent_back()


async def test_a_dead_letter_added_during_a_run_is_left_to_the_next(
    settings: Settings, letters: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is neither sent by this run nor skipped."""
    await letters.add("anna-0", NO_FACE)
    await letters.add("ben-0", NO_FACE)
    real = AIOKafkaConsumer.end_offsets
    late: list[str] = []

    async def end_offsets(self: AIOKafkaConsumer, partitions: list[TopicPartition]) -> Any:
        ends = await real(self, partitions)
        if not late:
            late.append("cleo-0")
            await letters.add("cleo-0", NO_FACE)
            await letters.add("dora-0", NO_FACE)
            # Too early, as the embedded broker may report it.
            ends = {tp: min(end, 1) for tp, end in ends.items()}
        return ends

    monkeypatch.setattr(AIOKafkaConsumer, "end_offsets", end_offsets)
    first = await redrive(settings, NO_FACE)
    assert first.sent <= 1
    assert {"anna-0", "ben-0", "cleo-0", "dora-0"} > set(await letters.sent_back())
    await until_sent(settings, NO_FACE, 4 - first.sent)
    assert {"anna-0", "ben-0", "cleo-0", "dora-0"} == set(await letters.sent_back())


async def test_a_dry_run_sends_and_commits_nothing(settings: Settings, letters: Letters) -> None:
    """It counts the dead letters."""
    await letters.add("anna-0", NO_FACE)
    async with asyncio.timeout(20):
        while (await redrive(settings, NO_FACE, dry_run=True)).sent < 1:
            pass
    assert {} == await letters.sent_back()
    assert 1 == (await until_sent(settings, NO_FACE, 1)).sent


async def test_events_without_an_ack_are_not_committed(
    settings: Settings, letters: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next run sends them."""
    await letters.add("anna-0", NO_FACE)
    await letters.add("ben-1", NO_FACE)
    names = topic_names(settings)
    real = AIOKafkaProducer.send_and_wait

    async def send_and_wait(self: AIOKafkaProducer, topic: str, *given: Any, **options: Any) -> Any:
        if topic == names.image_submitted:
            raise KafkaTimeoutError("no ack")
        return await real(self, topic, *given, **options)

    with monkeypatch.context() as patched:
        patched.setattr(AIOKafkaProducer, "send_and_wait", send_and_wait)
        with pytest.raises(StreamsError, match="re-driving stopped: .*no ack"):
            await until_sent(settings, NO_FACE, 1)
    await until_sent(settings, NO_FACE, 2)
    assert {"anna-0", "ben-1"} == set(await letters.sent_back())


async def test_a_dead_letter_too_large_for_its_topic_is_reported(
    settings: Settings, letters: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays in the fallback topic, and does not stop the run."""
    await letters.add("large-0", NO_FACE)
    await letters.add("ben-0", NO_FACE)
    real = AIOKafkaProducer.send_and_wait
    told: list[ConsumerRecord] = []

    async def send_and_wait(self: AIOKafkaProducer, *given: Any, **options: Any) -> Any:
        if options["key"] == b"large-0":
            raise MessageSizeTooLargeError("10")
        return await real(self, *given, **options)

    monkeypatch.setattr(AIOKafkaProducer, "send_and_wait", send_and_wait)
    async with asyncio.timeout(20):
        while len(await letters.sent_back()) < 1:
            await redrive(settings, NO_FACE, on_refused=told.append)
    assert [b"large-0"] == [record.key for record in told]
    assert {"ben-0"} == set(await letters.sent_back())


async def test_dead_letters_of_scored_face_are_sent_back_to_scored_face(
    settings: Settings, letters: Letters
) -> None:
    """Their source topic."""
    scored_face = topic_names(settings).scored_face
    await letters.add("anna-0", FallbackReason.INVALID_EVENT, topic=scored_face)
    await until_sent(settings, FallbackReason.INVALID_EVENT, 1)
    assert {} == await letters.sent_back()
    assert {"anna-0"} == set(await letters.sent_back(scored_face))


async def test_a_missing_topic_and_a_missing_broker_are_reported(broker: EmbeddedBroker) -> None:
    """In one line; no topic is created."""
    nowhere = load_settings(kafka_bootstrap_servers=broker.address, kafka_topic_prefix="nowhere.")
    with pytest.raises(StreamsError, match="there is no topic nowhere.simulated-fallback"):
        await redrive(nowhere, NO_FACE)
    away = load_settings(kafka_bootstrap_servers=f"127.0.0.1:{free_port()}")
    with pytest.raises(StreamsError, match="no broker at") as caught:
        await redrive(away, NO_FACE)
    assert isinstance(caught.value.__cause__, KafkaConnectionError)


def test_consumer_groups_have_the_topic_prefix() -> None:
    """Two installations on one cluster have separate offsets."""
    assert "redrive-no_face" == group_of(load_settings(), NO_FACE)
    assert "a.redrive-no_face" == group_of(load_settings(kafka_topic_prefix="a."), NO_FACE)

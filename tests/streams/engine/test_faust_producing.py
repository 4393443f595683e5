"""Behaviour of Faust's producer on which at-least-once delivery relies.

When a test fails after an upgrade, read the module named in its docstring before changing the test.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from aiokafka.errors import MessageSizeTooLargeError
from faust.exceptions import NotReady, ProducerSendError

from streams.app import FacestreamApp, create_app
from streams.config.settings import load_settings
from streams.engine.faust_engine import FaustEngine
from streams.engine.publishing import Publisher, UnpublishableMessage
from streams.kafka.topic_reader import TopicReader
from streams.local.embedded_broker import EmbeddedBroker
from streams.messages import Outgoing


async def test_all_replicas_acknowledge_a_message() -> None:
    """faust_engine.py: ``acks=all`` is -1 in Faust; at-least-once needs no transactions."""
    app = create_app(load_settings())
    assert app.conf.producer_acks == -1
    assert not app.in_transaction
    assert not app.conf.stream_publish_on_commit


@pytest.fixture
async def producing(broker: EmbeddedBroker) -> AsyncIterator[FacestreamApp]:
    """The app with its producer started on a real broker; messages have 64 KiB at most."""
    created = create_app(
        load_settings(kafka_bootstrap_servers=broker.address, kafka_max_message_bytes=64 * 1024)
    )
    await created.maybe_start_producer()
    yield created
    await created.producer.stop()


async def test_the_future_that_send_returns_ends_with_the_ack(
    producing: FacestreamApp,
) -> None:
    """faust_engine.py: the first await hands the message over, the second waits for the broker."""
    headers = [("text", b"1"), ("null", None)]
    sent = await producing.producer.send("sent", b"key", b"value", None, None, headers)
    assert isinstance(sent, asyncio.Future)
    assert not sent.done()
    assert (await sent).offset >= 0


async def test_faust_wraps_errors_that_the_producer_raises_at_once(
    producing: FacestreamApp,
) -> None:
    """faust_engine.py: ``send`` reads the cause."""
    with pytest.raises(ProducerSendError) as caught:
        await producing.producer.send("sent", b"key", b"x" * 300_000, None, None, None)
    assert isinstance(caught.value.__cause__, MessageSizeTooLargeError)


async def test_a_stopped_producer_raises_not_ready(
    producing: FacestreamApp,
) -> None:
    """faust_engine.py: a handler that outlives the drain gets this error."""
    await producing.producer.stop()
    with pytest.raises(NotReady):
        await producing.producer.send("sent", None, b"value", None, None, None)


@pytest.mark.parametrize(("key", "value"), [(b"k", None), (None, b""), (b"", b""), (b"k", b"\xff")])
async def test_null_and_empty_bytes_pass_through_unchanged(
    producing: FacestreamApp, key: bytes | None, value: bytes | None
) -> None:
    """dead_letters.py: a dead letter has the event's bytes, also after Faust's serializers."""
    topic = f"bytes-{uuid4()}"
    headers = [("text", b"1"), ("null", None), ("text", b"2")]
    await Publisher(FaustEngine(producing), is_leaving=lambda: False).publish(
        [Outgoing(topic, key, value, headers)]
    )
    async with TopicReader(producing.settings, topic) as reader:
        (record,) = [record async for record in reader.records(follow=False)]
    assert (record.key, record.value, list(record.headers)) == (key, value, headers)


async def test_the_publisher_works_with_the_real_producer(producing: FacestreamApp) -> None:
    """It returns after the acks and refuses a message that is too large."""
    publisher = Publisher(FaustEngine(producing), is_leaving=lambda: False)
    await publisher.publish([Outgoing("sent", b"key", b"value", [("null", None)])] * 3)
    with pytest.raises(UnpublishableMessage, match="KAFKA_MAX_MESSAGE_BYTES"):
        await publisher.publish([Outgoing("sent", b"key", b"x" * 300_000, [])])


async def test_a_cancelled_send_leaves_the_producers_future_uncancelled(
    producing: FacestreamApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """faust_engine.py: the rest of the batch shares this future."""
    ack: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def send(*_: object) -> asyncio.Future[None]:
        return ack

    monkeypatch.setattr(producing.producer, "send", send)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await FaustEngine(producing).send(Outgoing("sent", None, b"value", []))
    assert not ack.cancelled()
    ack.set_result(None)

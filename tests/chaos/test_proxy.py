"""The proxy between workers and broker does what the plan asks of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from streams.local.embedded_broker import EmbeddedBroker, free_port
from tools.chaos.proxy import SPARED_CLIENT_ID, KafkaProxy, Refusal


@pytest.fixture
async def proxy() -> AsyncIterator[KafkaProxy]:
    """A proxy before an embedded broker that sends its clients there."""
    port, broker_port = free_port(), free_port()
    proxy = KafkaProxy(port, broker_port)
    broker = EmbeddedBroker(broker_port, advertised_port=port)
    await proxy.start()
    await asyncio.to_thread(broker.start)
    yield proxy
    await proxy.stop()
    await asyncio.to_thread(broker.stop)


@asynccontextmanager
async def producing(proxy: KafkaProxy, client_id: str) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(
        bootstrap_servers=f"127.0.0.1:{proxy.port}", client_id=client_id, request_timeout_ms=3000
    )
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def test_writes_to_one_topic_are_refused_and_others_go_through(proxy: KafkaProxy) -> None:
    """With the error that was asked for; afterwards they go through as well."""
    async with producing(proxy, "worker") as producer:
        await producer.send_and_wait("letters", b"before")
        proxy.refusal = Refusal("letters", TopicAuthorizationFailedError.errno)
        with pytest.raises(TopicAuthorizationFailedError):
            await producer.send_and_wait("letters", b"refused")
        sent = await producer.send_and_wait("answers", b"letters are mentioned here")
        assert sent.offset == 0
        proxy.refusal = None
        assert (await producer.send_and_wait("letters", b"after", partition=0)).offset >= 0
    assert proxy.refused == 1


async def test_a_black_hole_swallows_and_gives_back(proxy: KafkaProxy) -> None:
    """The workers' bytes arrive late; the suite's own clients notice nothing."""
    async with producing(proxy, "worker") as worker, producing(proxy, SPARED_CLIENT_ID) as suite:
        await worker.send_and_wait("topic", b"1")
        proxy.black_hole()
        late = asyncio.ensure_future(worker.send_and_wait("topic", b"2"))
        await suite.send_and_wait("topic", b"3")
        assert not late.done()
        proxy.heal()
        await asyncio.wait_for(late, 5)


async def test_a_cut_resets_the_workers_connections_only(proxy: KafkaProxy) -> None:
    """A worker's client connects anew."""
    async with producing(proxy, "worker") as worker, producing(proxy, SPARED_CLIENT_ID) as suite:
        await worker.send_and_wait("topic", b"1")
        await suite.send_and_wait("topic", b"2")
        assert proxy.cut() >= 1
        await suite.send_and_wait("topic", b"3")
        assert await _within(10, worker, b"4")


async def _within(seconds: float, producer: AIOKafkaProducer, value: bytes) -> bool:
    async with asyncio.timeout(seconds):
        while True:
            try:
                await producer.send_and_wait("topic", value)
            except KafkaError:
                continue
            return True

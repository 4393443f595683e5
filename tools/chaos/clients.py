"""Kafka clients of the suite itself: no fault applies to them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from tools.background import background
from tools.chaos.load import user_of
from tools.chaos.proxy import SPARED_CLIENT_ID


@asynccontextmanager
async def producing(bootstrap_servers: str) -> AsyncIterator[AIOKafkaProducer]:
    """Yield a producer with ``acks=all``."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap_servers, client_id=SPARED_CLIENT_ID, acks="all", linger_ms=5
    )
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


@asynccontextmanager
async def consuming(bootstrap_servers: str, *topics: str) -> AsyncIterator[AIOKafkaConsumer]:
    """Yield a consumer that reads the topics from their beginning."""
    consumer = AIOKafkaConsumer(
        *topics,
        bootstrap_servers=bootstrap_servers,
        client_id=SPARED_CLIENT_ID,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_wait_ms=200,
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def send_picture(
    producer: AIOKafkaProducer, topic: str, number: int, picture: bytes
) -> asyncio.Future[object]:
    """Send a picture as a binary event; the future resolves at the broker's ack."""
    headers = [("content-type", b"image/jpeg"), ("ce_id", str(uuid4()).encode())]
    acknowledged: asyncio.Future[object] = await producer.send(
        topic, picture, key=user_of(number).encode(), headers=headers
    )
    return acknowledged


@dataclass
class MessageCount:
    """The number of messages that a topic has delivered so far."""

    count: int = 0

    async def reach(self, count: int, deadline_s: float) -> None:
        """Wait for ``count`` messages. Raises ``TimeoutError`` after the deadline."""
        async with asyncio.timeout(deadline_s):
            while self.count < count:
                await asyncio.sleep(0.05)


@asynccontextmanager
async def counting(bootstrap_servers: str, topic: str) -> AsyncIterator[MessageCount]:
    """Count the messages of a topic from its beginning, without decoding them."""
    counted = MessageCount()

    async def count(consumer: AIOKafkaConsumer) -> None:
        while True:
            batches = await consumer.getmany(timeout_ms=500)
            counted.count += sum(map(len, batches.values()))

    async with consuming(bootstrap_servers, topic) as consumer, background(count(consumer)):
        yield counted

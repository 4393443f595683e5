"""Counts answers as they come, without looking into them: for loads that only measure."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer

from tools.chaos.proxy import SPARED_CLIENT_ID


@dataclass
class Counter:
    """How many messages a topic has given so far."""

    count: int = 0

    async def reach(self, count: int, deadline_s: float) -> None:
        """Return when so many have come. Raises ``TimeoutError``."""
        async with asyncio.timeout(deadline_s):
            while self.count < count:
                await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def counting(bootstrap_servers: str, topic: str) -> AsyncIterator[Counter]:
    """A counter of all messages of a topic, from its beginning on."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap_servers,
        client_id=SPARED_CLIENT_ID,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_wait_ms=200,
    )
    await consumer.start()
    counter = Counter()

    async def count() -> None:
        while True:
            found = await consumer.getmany(timeout_ms=500)
            counter.count += sum(map(len, found.values()))

    task = asyncio.create_task(count())
    try:
        yield counter
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await consumer.stop()

"""The suite's producer of events, and its consumer of answers and dead letters."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from streams.kafka.topics import topic_names
from tools.background import background
from tools.chaos.audit import Audit
from tools.chaos.clients import consuming, producing
from tools.chaos.cluster import Cluster
from tools.chaos.load import Event, Load

#: Missing events count as lost after this long without progress, once all faults are over.
TIMEOUT_S = 60.0
BATCH = 50


async def publish(cluster: Cluster, load: Load, audit: Audit, takes_s: float) -> None:
    """Publish the load, spread evenly over ``takes_s``."""
    topic = topic_names(cluster.settings).image_submitted
    async with producing(cluster.address) as producer:
        started = time.monotonic()
        batch: list[Event] = []
        for event in load.events():
            batch.append(event)
            if len(batch) == BATCH:
                await _send(producer, topic, batch, audit)
                due = started + takes_s * (event.number + 1) / load.count
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                batch = []
        await _send(producer, topic, batch, audit)


async def _send(producer: AIOKafkaProducer, topic: str, events: list[Event], audit: Audit) -> None:
    sent = []
    for event in events:
        audit.submitted(event)
        sent.append(
            await producer.send(topic, event.value, key=event.key, headers=list(event.headers))
        )
    await asyncio.gather(*sent)


@dataclass
class Progress:
    """The progress of the consumer."""

    last_record: float = field(default_factory=time.monotonic)


@asynccontextmanager
async def reading(cluster: Cluster, audit: Audit) -> AsyncIterator[Progress]:
    """Pass all answers and dead letters to the audit while the block runs."""
    names = topic_names(cluster.settings)
    progress = Progress()

    async def read(consumer: AIOKafkaConsumer) -> None:
        while True:
            for at, records in (await consumer.getmany(timeout_ms=500, max_records=500)).items():
                for record in records:
                    if at.topic == names.scored_face:
                        audit.answer(record.value, record.key)
                    else:
                        audit.letter(record.value, record.key, record.headers)
                progress.last_record = time.monotonic()
                await asyncio.sleep(0)

    topics = (names.scored_face, names.simulated_fallback)
    async with consuming(cluster.address, *topics) as consumer, background(read(consumer)):
        yield progress


async def settle(
    cluster: Cluster, audit: Audit, progress: Progress, say: Callable[[str], None]
) -> None:
    """Wait until all events are answered and indexed, or nothing changes for ``TIMEOUT_S``."""
    last, changed = (-1, -1), time.monotonic()
    said = changed
    while True:
        now = (audit.outstanding, len(audit.indexable - cluster.qdrant.points.keys()))
        if now != last or progress.last_record > changed:
            last, changed = now, time.monotonic()
        quiet = time.monotonic() - changed
        if (now == (0, 0) and quiet > 2) or quiet > TIMEOUT_S:
            return
        if time.monotonic() - said > 10:
            said = time.monotonic()
            say(f"waiting for {now[0]} events and {now[1]} points")
        await asyncio.sleep(0.25)

"""One broker, one index and one worker, without faults: for runs that measure."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from streams.config.settings import load_settings
from streams.kafka.topic_creation import ensure_topics
from streams.kafka.topics import TopicNames, topic_names
from streams.local.embedded_broker import EmbeddedBroker, free_port
from streams.local.worker_process import WorkerProcess
from tools.chaos.qdrant import FakeQdrant
from tools.chaos.workers import APP, PARTITIONS, worker_process


@dataclass
class Single:
    """A running broker and index, and a worker that the caller starts."""

    broker: EmbeddedBroker
    qdrant: FakeQdrant
    worker: WorkerProcess
    topics: TopicNames


@contextlib.asynccontextmanager
async def single(folder: Path, **settings: str) -> AsyncIterator[Single]:
    """Yield a broker with its topics, an index server and a worker; stop them at the end.

    The index is a server's, as an embedded one would keep every face in the worker's memory.
    """
    folder.mkdir(parents=True, exist_ok=True)
    qdrant = FakeQdrant(free_port(), slow_s=0, rng=random.Random(0))
    broker = EmbeddedBroker(free_port(), log_file=folder / "broker.log")
    worker = worker_process(folder / "worker.log", broker.address, qdrant.url, settings, APP)
    own = load_settings(kafka_bootstrap_servers=broker.address, kafka_partitions=PARTITIONS)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(qdrant.aclose)
        await qdrant.start()
        stack.push_async_callback(asyncio.to_thread, broker.stop)
        await asyncio.to_thread(broker.start)
        await ensure_topics(own)
        stack.push_async_callback(_stop, worker)
        yield Single(broker, qdrant, worker, topic_names(own))


async def _stop(worker: WorkerProcess) -> None:
    with contextlib.suppress(Exception):  # the caller may not have started it
        await asyncio.to_thread(worker.stop, 30)

"""One broker and one worker of the suite's app, without faults: for what is only measured."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from streams.config.settings import Settings, load_settings
from streams.kafka.topics import TopicNames, ensure_topics, topic_names
from streams.local.embedded_broker import EmbeddedBroker, free_port
from streams.local.worker_process import WorkerProcess
from tools.chaos.cluster import PARTITIONS, ROOT

SESSION_S = "4"


@dataclass
class Single:
    """A running broker, and the worker that is to be started on it."""

    broker: EmbeddedBroker
    worker: WorkerProcess
    settings: Settings

    @property
    def topics(self) -> TopicNames:
        """The topic names."""
        return topic_names(self.settings)


@contextlib.asynccontextmanager
async def single(folder: Path, **settings: str) -> AsyncIterator[Single]:
    """A broker with its topics; the caller starts the worker, which is ended here."""
    folder.mkdir(parents=True, exist_ok=True)
    env_file = folder / "empty.env"
    env_file.touch()
    broker = EmbeddedBroker(free_port(), log_file=folder / "broker.log")
    await asyncio.to_thread(broker.start)
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": broker.address,
        "KAFKA_SESSION_TIMEOUT_S": SESSION_S,
        "KAFKA_PARTITIONS": str(PARTITIONS),
        "QDRANT_PATH": str(folder / "index"),
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "warning",
        "ENV_FILE": str(env_file),
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        **settings,
    }
    worker = WorkerProcess(
        environment,
        port=free_port(),
        log_file=folder / "worker.log",
        faust_log_level="warn",
        app="tools.chaos.app",
    )
    try:
        own = load_settings(kafka_bootstrap_servers=broker.address, kafka_partitions=PARTITIONS)
        await ensure_topics(own)
        yield Single(broker, worker, own)
    finally:
        with contextlib.suppress(Exception):  # it may never have been started
            await asyncio.to_thread(worker.stop, 30)
        await asyncio.to_thread(broker.stop)

"""``facestream up``: broker, topics and a worker on this machine, until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator

from streams.commands.base import FacestreamCommand
from streams.config.settings import Settings, load_settings
from streams.kafka.connection import wait_for_broker
from streams.kafka.topic_creation import ensure_topics
from streams.local.embedded_broker import EmbeddedBroker
from streams.local.worker_process import POLL_S, WorkerProcess

#: The embedded broker delays a group's first member by half of the session timeout.
EMBEDDED_SETTINGS = {"kafka_session_timeout_s": "4", "kafka_fetch_max_wait_ms": "20"}

HOW_TO = """
facestream is up: broker {broker}, web port {url}, index {index}

  publish a picture     facestream submit photo.jpg --wait
  follow the answers    facestream results --follow
  find similar faces    facestream search photo.jpg
  from your own code    topic {image_submitted}: {{"user_id": "me", "image_base64": "…"}}
                        topic {scored_face}: the answers, one event per face
  health                {url}/health/ready

Ctrl-C stops everything{forgets}.
"""


class Up(FacestreamCommand):
    """Start the embedded broker, the topics and one worker; stop them on Ctrl-C."""

    async def main(self, **_: object) -> int:
        """Run until a signal, or until worker or broker ends; return 0 after a clean stop."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, stop.set)
        with broker_for(self.settings) as (settings, broker):
            if not await wait_for_broker(settings, stop.is_set):
                return 0
            await ensure_topics(settings)
            secret = settings.api_token
            with WorkerProcess(
                worker_environment(settings),
                port=settings.port,
                host=settings.web_client_host,
                token=secret.get_secret_value() if secret else None,
            ) as worker:
                if await self._until_ready(worker, stop):
                    self._explain(settings, worker)
                    await self._until_over(worker, broker, stop)
                return await self._end(worker, broker)

    async def _end(self, worker: WorkerProcess, broker: EmbeddedBroker | None) -> int:
        """Stop the worker. Returns 1 when it or the broker had ended before."""
        if broker is not None and broker.poll() is not None:
            self.notes.print(
                f"facestream: the embedded broker ended with status {broker.poll()}; "
                "its events are lost"
            )
            worker.kill()
            return 1
        if worker.poll() is not None:
            self.notes.print(f"facestream: the worker ended with status {worker.poll()}")
            return 1
        self.notes.print("stopping: the worker drains its events …")
        return 0 if await asyncio.to_thread(worker.stop) == 0 else 1

    @staticmethod
    async def _until_ready(worker: WorkerProcess, stop: asyncio.Event) -> bool:
        """Wait until the worker takes events. Returns False when a signal comes first."""
        while not stop.is_set():
            if await asyncio.to_thread(worker.is_ready):
                return True
            await asyncio.sleep(POLL_S)
        return False

    @staticmethod
    async def _until_over(
        worker: WorkerProcess, broker: EmbeddedBroker | None, stop: asyncio.Event
    ) -> None:
        """Wait for a signal, or for the end of the worker or the broker."""
        while not stop.is_set() and worker.poll() is None:
            if broker is not None and broker.poll() is not None:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 0.5)

    def _explain(self, settings: Settings, worker: WorkerProcess) -> None:
        embedded = self.settings.kafka_bootstrap_servers is None
        prefix = settings.kafka_topic_prefix
        self.notes.print(
            HOW_TO.format(
                broker=settings.bootstrap_servers,
                url=worker.url,
                index=settings.qdrant_url or settings.qdrant_path,
                image_submitted=f"{prefix}image-submitted",
                scored_face=f"{prefix}scored-face",
                forgets="; the embedded broker then forgets its events" if embedded else "",
            ),
            markup=False,
        )


@contextlib.contextmanager
def broker_for(settings: Settings) -> Iterator[tuple[Settings, EmbeddedBroker | None]]:
    """Yield the settings to use, and the embedded broker that runs in this block, if any.

    None is needed when ``KAFKA_BOOTSTRAP_SERVERS`` is set.
    """
    if settings.kafka_bootstrap_servers is not None:
        yield settings, None
        return
    with EmbeddedBroker(settings.kafka_port) as broker:
        own = {
            name: value
            for name, value in EMBEDDED_SETTINGS.items()
            if name not in settings.model_fields_set
        }
        yield load_settings(kafka_bootstrap_servers=broker.address, **own), broker


def worker_environment(settings: Settings) -> dict[str, str]:
    """Return the settings of a child worker that its inherited environment may not have."""
    return {
        "KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "KAFKA_SESSION_TIMEOUT_S": str(settings.kafka_session_timeout_s),
        "KAFKA_FETCH_MAX_WAIT_MS": str(settings.kafka_fetch_max_wait_ms),
    }

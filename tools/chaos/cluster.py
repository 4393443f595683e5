"""The broker, proxy, index and picture server of a run, and its changing set of workers."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from streams.config.settings import Settings, load_settings, pinned_settings
from streams.kafka.topic_creation import ensure_topics
from streams.local.embedded_broker import free_port
from streams.local.worker_process import WorkerProcess
from tools.brokers import broker_behind
from tools.chaos.picture_server import PictureServer
from tools.chaos.processes import usage
from tools.chaos.proxy import KafkaProxy
from tools.chaos.qdrant import FakeQdrant
from tools.chaos.workers import APP, PARTITIONS, worker_process

DRAIN_TIMEOUT_S = 8.0
STOP_TIMEOUT_S = pinned_settings(drain_timeout_s=DRAIN_TIMEOUT_S).stop_timeout_s
INDEX_TIMEOUT_S = 2
ML_TIMEOUT_S = 1.5
#: Seconds until a worker has imported its modules and handles SIGTERM.
IMPORT_S = 10.0
#: In the log of a worker that lost the broker at Faust's first connection and ended with 1. Faust
#: does not retry that connection; an orchestrator starts the worker again.
NEVER_CONNECTED = "Unable to bootstrap from"

#: Settings of the workers: short time-outs, so that a run meets many of them.
SETTINGS = {
    "DRAIN_TIMEOUT_S": str(DRAIN_TIMEOUT_S),
    "ML_SERVICE_TIMEOUT": str(int(ML_TIMEOUT_S * 1000)),
    "ML_ATTEMPTS": "2",
    "ML_BACKOFF_MS": "100",
    "QDRANT_TIMEOUT_S": str(INDEX_TIMEOUT_S),
}


@dataclass
class Member:
    """One worker process."""

    number: int
    process: WorkerProcess
    #: Stopped by SIGSTOP, so no other fault may pick it.
    frozen: bool = False
    started: float = field(default_factory=time.monotonic)


@dataclass
class Cluster:
    """All parts of a run; proxy, index and picture server live in this process's event loop.

    Use it as a context manager: the block begins without workers.
    """

    folder: Path
    pictures: Mapping[str, bytes]
    seed: int
    extra: Mapping[str, str] = field(default_factory=dict)
    app: str = APP
    max_rss_mb: float = 0.0
    #: Stops that were not clean, and workers that ended without being told to.
    complaints: list[str] = field(default_factory=list)
    #: Workers that ended without being told to, but because of a fault.
    excused: list[str] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)
    _started: int = 0

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        proxy_port, broker_port = free_port(), free_port()
        self.broker = broker_behind(proxy_port, broker_port, self.folder)
        self.proxy = KafkaProxy(proxy_port, broker_port)
        rng = random.Random(f"servers-{self.seed}")
        self.qdrant = FakeQdrant(free_port(), slow_s=INDEX_TIMEOUT_S + 2, rng=rng)
        self.picture_server = PictureServer(
            free_port(), self.pictures, slow_s=3 * ML_TIMEOUT_S, rng=rng
        )

    @property
    def address(self) -> str:
        """The broker's address, through the proxy."""
        return f"127.0.0.1:{self.proxy.port}"

    @property
    def settings(self) -> Settings:
        """The settings of the suite's own clients."""
        return load_settings(
            kafka_bootstrap_servers=self.address, kafka_partitions=PARTITIONS, port=6066
        )

    async def __aenter__(self) -> Cluster:
        try:
            await self.proxy.start()
            await asyncio.to_thread(self.broker.start)
            await self.qdrant.start()
            await self.picture_server.start()
            await ensure_topics(self.settings)
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stop()

    async def _stop(self) -> None:
        for member in list(self.members):
            if member.frozen:
                member.process.send_signal(signal.SIGCONT)
            await self._kill(member)
        await self.picture_server.stop()
        await self.qdrant.aclose()
        await self.proxy.stop()
        await asyncio.to_thread(self.broker.stop)

    def join(self) -> None:
        """Start one more worker."""
        self._started += 1
        process = worker_process(
            self.folder / f"worker-{self._started}.log",
            self.address,
            self.qdrant.url,
            {**SETTINGS, "IMAGE_URI_ALLOW": self.picture_server.url, **self.extra},
            self.app,
        )
        self.members.append(Member(self._started, process.start()))

    def pick(self, victim: float) -> Member | None:
        """Return a worker that is not frozen; ``victim`` in [0, 1) chooses it."""
        running = [member for member in self.members if not member.frozen]
        return running[int(victim * len(running))] if running else None

    async def kill(self, member: Member) -> None:
        """Send SIGKILL."""
        if not self._has_ended(member):
            await self._kill(member)

    async def _kill(self, member: Member) -> None:
        self.members.remove(member)
        await asyncio.to_thread(member.process.kill)

    async def terminate(self, member: Member) -> None:
        """Send SIGTERM; any end but a clean one in time is a complaint."""
        if self._has_ended(member):
            return
        self.members.remove(member)
        started = time.monotonic()
        status = await asyncio.to_thread(member.process.stop, STOP_TIMEOUT_S + 10)
        took = time.monotonic() - started
        # While Python imports, the signal itself ends it; it has no partitions yet.
        importing = status == -signal.SIGTERM and started - member.started < IMPORT_S
        if status != 0 and not importing:
            self.complaints.append(
                f"worker {member.number} ended with {status} {took:.1f} s after SIGTERM"
            )

    async def freeze(self, member: Member, seconds: float) -> None:
        """Send SIGSTOP, wait, and send SIGCONT."""
        member.frozen = True
        member.process.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            if member in self.members:
                member.process.send_signal(signal.SIGCONT)
                member.frozen = False

    def watch(self, at_least: int) -> None:
        """Measure memory, and replace workers that ended, as an orchestrator would."""
        for member in list(self.members):
            if self._has_ended(member):
                continue
            if (used := usage(member.process.pid)) is not None:
                self.max_rss_mb = max(self.max_rss_mb, used.rss_mb)
        while len(self.members) < at_least:
            self.join()

    def _has_ended(self, member: Member) -> bool:
        """Whether a worker ended by itself; records a complaint unless a fault explains it."""
        status = member.process.poll()
        if status is None:
            return False
        self.members.remove(member)
        log_file = member.process.log_file
        log = log_file.read_text(errors="replace") if log_file and log_file.exists() else ""
        end = f"worker {member.number} ended by itself with {status}"
        if status == 1 and NEVER_CONNECTED in log:
            self.excused.append(f"{end}: it could not reach the broker at its first connection")
        else:
            self.complaints.append(end)
        return True

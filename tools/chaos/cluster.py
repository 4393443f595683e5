"""Broker, proxy, index and picture server of a run, and the workers that come and go."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from streams.config.settings import Settings, load_settings
from streams.kafka.topics import ensure_topics
from streams.local.embedded_broker import free_port
from streams.local.worker_process import WorkerProcess
from tools.brokers import broker_behind
from tools.chaos.picture_server import PictureServer
from tools.chaos.processes import usage
from tools.chaos.proxy import KafkaProxy
from tools.chaos.qdrant import FakeQdrant

SESSION_S = 4.0
STOP_TIMEOUT_S = 25.0
INDEX_TIMEOUT_S = 2
ML_TIMEOUT_S = 1.5
PARTITIONS = 4
#: No worker that is older is still importing.
IMPORT_S = 10.0
#: What a worker writes that ends with 1 because the broker went away just when Faust connected for
#: the first time. Faust does not try that again; an orchestrator starts the worker again.
NEVER_CONNECTED = "Unable to bootstrap from"
ROOT = Path(__file__).parents[2]

#: How workers are told to behave: short deadlines, so that a run sees many of them.
SETTINGS = {
    "KAFKA_SESSION_TIMEOUT_S": str(SESSION_S),
    "KAFKA_REBALANCE_TIMEOUT_S": "15",
    "KAFKA_PARTITIONS": str(PARTITIONS),
    "DRAIN_TIMEOUT_S": "8",
    "STOP_TIMEOUT_S": str(STOP_TIMEOUT_S),
    "ML_SERVICE_TIMEOUT": str(int(ML_TIMEOUT_S * 1000)),
    "ML_ATTEMPTS": "2",
    "ML_BACKOFF_MS": "100",
    "QDRANT_TIMEOUT_S": str(INDEX_TIMEOUT_S),
    "LOG_FORMAT": "json",
    "LOG_LEVEL": "warning",
}


@dataclass
class Member:
    """One worker process."""

    number: int
    process: WorkerProcess
    #: Frozen by SIGSTOP: not to be chosen for anything else.
    frozen: bool = False
    started: float = field(default_factory=time.monotonic)


@dataclass
class Cluster:
    """Everything that runs; the suite's own part lives in this process's event loop."""

    folder: Path
    pictures: Mapping[str, bytes]
    seed: int
    extra: Mapping[str, str] = field(default_factory=dict)
    app: str = "tools.chaos.app"
    max_rss_mb: float = 0.0
    #: Stops that were not clean, and ends that nobody asked for.
    complaints: list[str] = field(default_factory=list)
    #: Ends that nobody asked for either, but that a fault explains.
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
        """The broker, through the proxy."""
        return f"127.0.0.1:{self.proxy.port}"

    @property
    def settings(self) -> Settings:
        """For the suite's own clients."""
        return load_settings(
            kafka_bootstrap_servers=self.address, kafka_partitions=PARTITIONS, port=6066
        )

    async def start(self) -> None:
        """Start everything but the workers."""
        (self.folder / "empty.env").touch()
        await self.proxy.start()
        await asyncio.to_thread(self.broker.start)
        await self.qdrant.start()
        await self.picture_server.start()
        await ensure_topics(self.settings)

    async def stop(self) -> None:
        """Stop everything."""
        for member in list(self.members):
            await self._end(member)
        await self.picture_server.stop()
        await self.qdrant.aclose()
        await self.proxy.stop()
        await asyncio.to_thread(self.broker.stop)

    async def _end(self, member: Member) -> None:
        self.members.remove(member)
        if member.frozen:
            member.process.send_signal(signal.SIGCONT)
        await asyncio.to_thread(member.process.kill)

    def join(self) -> Member:
        """Start one more worker."""
        self._started += 1
        number = self._started
        environment = {
            **SETTINGS,
            "KAFKA_BOOTSTRAP_SERVERS": self.address,
            "QDRANT_URL": f"http://127.0.0.1:{self.qdrant.port}",
            "IMAGE_URI_ALLOW": self.picture_server.url,
            "ENV_FILE": str(self.folder / "empty.env"),
            "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
            **self.extra,
        }
        process = WorkerProcess(
            environment,
            port=free_port(),
            log_file=self.folder / f"worker-{number}.log",
            faust_log_level="warn",
            app=self.app,
        )
        member = Member(number, process.start())
        self.members.append(member)
        return member

    def pick(self, victim: float) -> Member | None:
        """A worker that is not frozen; ``victim`` in [0, 1)."""
        able = [member for member in self.members if not member.frozen]
        return able[int(victim * len(able))] if able else None

    async def kill(self, member: Member) -> None:
        """SIGKILL."""
        if self._has_ended(member):
            return
        self.members.remove(member)
        await asyncio.to_thread(member.process.kill)

    async def terminate(self, member: Member) -> None:
        """SIGTERM; anything but a clean end in time is a complaint."""
        if self._has_ended(member):
            return
        self.members.remove(member)
        started = time.monotonic()
        status = await asyncio.to_thread(member.process.stop, STOP_TIMEOUT_S + 10)
        took = time.monotonic() - started
        # Python's own import ends by the signal itself; nothing was taken from the broker yet.
        too_young = status == -signal.SIGTERM and started - member.started < IMPORT_S
        if status != 0 and not too_young:
            self.complaints.append(
                f"worker {member.number} ended with {status} {took:.1f} s after SIGTERM"
            )

    async def freeze(self, member: Member, seconds: float) -> None:
        """SIGSTOP, wait, SIGCONT."""
        member.frozen = True
        member.process.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            if member in self.members:
                member.process.send_signal(signal.SIGCONT)
                member.frozen = False

    def watch(self, at_least: int) -> None:
        """Once a second: measure memory; replace what ended by itself, as an orchestrator would."""
        for member in list(self.members):
            if self._has_ended(member):
                continue
            if (used := usage(member.process.pid)) is not None:
                self.max_rss_mb = max(self.max_rss_mb, used.rss_mb)
        while len(self.members) < at_least:
            self.join()

    def _has_ended(self, member: Member) -> bool:
        """Whether it ended by itself: a complaint, unless a fault explains it."""
        status = member.process.poll()
        if status is None:
            return False
        self.members.remove(member)
        log_file = member.process.log_file
        wrote = log_file.read_text(errors="replace") if log_file and log_file.exists() else ""
        said = f"worker {member.number} ended by itself with {status}"
        if status == 1 and NEVER_CONNECTED in wrote:
            self.excused.append(f"{said}: the broker could not be reached at its first connection")
        else:
            self.complaints.append(said)
        return True

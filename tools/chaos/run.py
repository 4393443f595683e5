"""One run of the suite: a load, a plan of faults, and the audit."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tools.background import background
from tools.chaos.audit import Audit, Report
from tools.chaos.cluster import Cluster
from tools.chaos.fault_injection import MAX_WORKERS, inject
from tools.chaos.faults import BLOCKING, plan
from tools.chaos.load import Load, served_pictures
from tools.chaos.traffic import publish, reading, settle
from tools.chaos.workers import APP, SESSION_S

WORKERS = 2

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a run."""

    seed: int
    real: bool
    events: int
    folder: Path
    app: str = APP
    longest_fault_s: float = 60.0
    max_faults: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The findings of a run."""

    report: Report
    max_rss_mb: float
    complaints: tuple[str, ...]
    excused: tuple[str, ...]
    seconds: float
    settle_s: float
    refused: int
    troubled: int

    @property
    def ok(self) -> bool:
        """Whether nothing is lost, every stop was clean, and no worker ended without excuse."""
        return self.report.ok and not self.complaints


async def run(options: Options, say: Say) -> Outcome:
    """Run once; ``say`` receives a line at each step."""
    started = time.monotonic()
    faults = plan(options.seed, session_s=SESSION_S, longest_s=options.longest_fault_s)
    faults = faults[: options.max_faults]
    takes_s = sum(one.after_s + (one.lasts_s if one.kind in BLOCKING else 1) for one in faults)
    cluster = _cluster(options)
    load, audit = _load(options, cluster), Audit()
    async with cluster:
        async with reading(cluster, audit) as progress:
            for _ in range(WORKERS):
                cluster.join()
            publishing = publish(cluster, load, audit, takes_s)
            async with background(_watch(cluster)), background(publishing) as published:
                await inject(cluster, faults, say)
                await published
                settled = time.monotonic()
                say(f"all {options.events} events are published, and all faults are over")
                await settle(cluster, audit, progress, say)
        for member in list(cluster.members):
            await cluster.terminate(member)
        now = time.monotonic()
        return _outcome(cluster, audit, seconds=now - started, settle_s=now - settled)


async def young_group(seed: int, events: int, folder: Path) -> tuple[Report, list[str]]:
    """Let workers join a backlog one after the other, before any offset is committed.

    Return the report, and the workers that ended by themselves: without faults, none may.
    """
    options = Options(seed, real=False, events=events, folder=folder)
    cluster = _cluster(options)
    load, audit = _load(options, cluster), Audit()
    rng = random.Random(f"young-{seed}")
    async with cluster, reading(cluster, audit) as progress:
        await publish(cluster, load, audit, 0)
        for _ in range(MAX_WORKERS):
            cluster.join()
            await asyncio.sleep(rng.uniform(0.2, 2.5))
        await settle(cluster, audit, progress, lambda _: None)
        cluster.watch(at_least=0)
        return audit.report(cluster.qdrant.points), cluster.complaints + cluster.excused


def _cluster(options: Options) -> Cluster:
    extra = {
        "CHAOS_SCORER": "real" if options.real else "random",
        "INFERENCE_THREADS": "2" if options.real else "8",
    }
    pictures = served_pictures(real=options.real)
    return Cluster(options.folder, pictures, options.seed, extra, options.app)


def _load(options: Options, cluster: Cluster) -> Load:
    return Load(options.seed, options.events, options.real, cluster.picture_server.url)


async def _watch(cluster: Cluster) -> None:
    while True:
        cluster.watch(at_least=1)
        await asyncio.sleep(1)


def _outcome(cluster: Cluster, audit: Audit, *, seconds: float, settle_s: float) -> Outcome:
    return Outcome(
        audit.report(cluster.qdrant.points),
        cluster.max_rss_mb,
        tuple(cluster.complaints),
        tuple(cluster.excused),
        seconds,
        settle_s,
        cluster.proxy.refused,
        cluster.qdrant.troubled,
    )

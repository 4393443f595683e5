"""Carries out the plan of faults on a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from streams.kafka.topics import topic_names
from tools.chaos.cluster import Cluster
from tools.chaos.faults import BLOCKING, Fault, Kind
from tools.chaos.proxy import Refusal
from tools.chaos.qdrant import Mood

#: Error codes of refused writes: not enough replicas, no permission, storage error.
REFUSALS = (19, 29, 56)
MAX_WORKERS = 4

_MOODS = {
    Kind.INDEX_AWAY: Mood.AWAY,
    Kind.INDEX_ERRORS: Mood.ERRORS,
    Kind.INDEX_SLOW: Mood.SLOW,
}


async def inject(cluster: Cluster, faults: Sequence[Fault], say: Callable[[str], None]) -> None:
    """Inject the faults in turn; those that last overlap with the ones that follow."""
    async with asyncio.TaskGroup() as injecting:
        for fault in faults:
            await asyncio.sleep(fault.after_s)
            say(str(fault))
            task = injecting.create_task(_inject(cluster, fault))
            if fault.lasts_s == 0 or fault.kind in BLOCKING:
                await task


async def _inject(cluster: Cluster, fault: Fault) -> None:
    match fault.kind:
        case Kind.KILL | Kind.TERM | Kind.LEAVE:
            await _end_worker(cluster, fault)
        case Kind.JOIN:
            if len(cluster.members) < MAX_WORKERS:
                cluster.join()
        case Kind.ZOMBIE:
            member = cluster.pick(fault.victim)
            if member is not None:
                await cluster.freeze(member, fault.lasts_s)
        case Kind.CUT:
            cluster.proxy.cut()
        case _:
            await _outage(cluster, fault)


async def _outage(cluster: Cluster, fault: Fault) -> None:
    match fault.kind:
        case Kind.BLACK_HOLE:
            with cluster.proxy.black_hole():
                await asyncio.sleep(fault.lasts_s)
        case Kind.FALLBACK_REFUSED:
            topic = topic_names(cluster.settings).simulated_fallback
            refusal = Refusal(topic, REFUSALS[fault.number % len(REFUSALS)])
            with cluster.proxy.refusing(refusal):
                await asyncio.sleep(fault.lasts_s)
        case Kind.SLOW_PICTURES:
            with cluster.picture_server.slow():
                await asyncio.sleep(fault.lasts_s)
        case _:
            async with cluster.qdrant.trouble(_MOODS[fault.kind]):
                await asyncio.sleep(fault.lasts_s)


async def _end_worker(cluster: Cluster, fault: Fault) -> None:
    member = cluster.pick(fault.victim)
    if member is None:
        return
    if fault.kind is Kind.KILL:
        await cluster.kill(member)
    else:
        await cluster.terminate(member)
    if fault.kind is not Kind.LEAVE:
        cluster.join()

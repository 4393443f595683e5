"""One run: a load, a plan of faults, and the reckoning."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import ConsumerRecord

from streams.kafka.topics import topic_names
from tools.chaos.audit import Audit, Report
from tools.chaos.cluster import SESSION_S, Cluster
from tools.chaos.faults import BLOCKING, Fault, Kind, plan
from tools.chaos.load import Event, Load
from tools.chaos.proxy import SPARED_CLIENT_ID, Refusal
from tools.chaos.qdrant import Mood

#: What a broker refuses a write with: too few replicas, no permission, no room on its disk.
REFUSALS = (19, 29, 56)
WORKERS = 2
MOST_WORKERS = 4
#: Nothing new for so long, with all faults over: what is missing then is lost.
PATIENCE_S = 60.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What a run is given."""

    seed: int
    real: bool
    events: int
    folder: Path
    app: str = "tools.chaos.app"
    longest_fault_s: float = 60.0
    most_faults: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run found."""

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
        """Nothing lost, every stop clean, and no worker ended by itself without an excuse."""
        return self.report.ok and not self.complaints


async def run(options: Options, say: Say) -> Outcome:
    """Run once; ``say`` gets a line at each step."""
    started = time.monotonic()
    faults = plan(options.seed, session_s=SESSION_S, longest_s=options.longest_fault_s)
    chosen = faults.faults[: options.most_faults]
    takes_s = sum(f.after_s + (f.lasts_s if f.kind in BLOCKING else 1) for f in chosen)
    load = Load(options.seed, options.events, options.real, picture_url="")
    extra = {
        "CHAOS_SCORER": "real" if options.real else "random",
        "INFERENCE_THREADS": "2" if options.real else "8",
    }
    cluster = Cluster(options.folder, load.pictures, options.seed, extra, options.app)
    load = Load(options.seed, options.events, options.real, cluster.picture_server.url)
    audit = Audit()
    await cluster.start()
    try:
        async with reading(cluster, audit) as reader:
            for _ in range(WORKERS):
                cluster.join()
            watching = asyncio.create_task(_watch(cluster))
            publishing = asyncio.create_task(publish(cluster, load, audit, takes_s))
            try:
                await _do(cluster, chosen, say)
                await publishing
                settled = time.monotonic()
                say(f"all {options.events} events are published and all faults over")
                await settle(cluster, audit, reader, say)
            finally:
                watching.cancel()
                publishing.cancel()
        for member in list(cluster.members):
            await cluster.terminate(member)
        return Outcome(
            audit.report(cluster.qdrant.points),
            cluster.max_rss_mb,
            tuple(cluster.complaints),
            tuple(cluster.excused),
            time.monotonic() - started,
            time.monotonic() - settled,
            cluster.proxy.refused,
            cluster.qdrant.troubled,
        )
    finally:
        await cluster.stop()


async def young_group(
    seed: int, events: int, folder: Path, app: str = "tools.chaos.app"
) -> tuple[Report, list[str]]:
    """A backlog, and workers that join one after the other before anything is committed.

    The report, and which workers ended by themselves: nothing here may end one.
    """
    extra = {"CHAOS_SCORER": "random", "INFERENCE_THREADS": "8"}
    pictures = Load(seed, events, real=False, picture_url="").pictures
    cluster = Cluster(folder, pictures, seed, extra, app)
    load = Load(seed, events, False, cluster.picture_server.url)
    audit, rng = Audit(), random.Random(f"young-{seed}")
    await cluster.start()
    try:
        async with reading(cluster, audit) as reader:
            await publish(cluster, load, audit, 0)
            for _ in range(MOST_WORKERS):
                cluster.join()
                await asyncio.sleep(rng.uniform(0.2, 2.5))
            await settle(cluster, audit, reader, lambda _: None)
        cluster.watch(at_least=0)
        return audit.report(cluster.qdrant.points), [*cluster.complaints, *cluster.excused]
    finally:
        await cluster.stop()


async def _watch(cluster: Cluster) -> None:
    while True:
        cluster.watch(at_least=1)
        await asyncio.sleep(1)


async def publish(cluster: Cluster, load: Load, audit: Audit, takes_s: float) -> None:
    """Publish the load, spread over the time that the faults take."""
    topic = topic_names(cluster.settings).image_submitted
    producer = AIOKafkaProducer(
        bootstrap_servers=cluster.address, client_id=SPARED_CLIENT_ID, acks="all", linger_ms=5
    )
    await producer.start()
    try:
        started = time.monotonic()
        batch: list[Event] = []
        for event in load.events():
            batch.append(event)
            if len(batch) == 50:
                await _send(producer, topic, batch, audit)
                due = started + takes_s * (event.number + 1) / load.count
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                batch = []
        await _send(producer, topic, batch, audit)
    finally:
        await producer.stop()


async def _send(producer: AIOKafkaProducer, topic: str, events: list[Event], audit: Audit) -> None:
    sent = []
    for event in events:
        audit.submitted(event)
        sent.append(
            await producer.send(topic, event.value, key=event.key, headers=list(event.headers))
        )
    await asyncio.gather(*sent)


@dataclass
class Reading:
    """The suite's own consumer of all answers and dead letters."""

    task: asyncio.Task[None]
    last_record: float


@contextlib.asynccontextmanager
async def reading(cluster: Cluster, audit: Audit) -> AsyncIterator[Reading]:
    """Feed the audit with all answers and dead letters, from the beginning on."""
    names = topic_names(cluster.settings)
    consumer = AIOKafkaConsumer(
        names.scored_face,
        names.simulated_fallback,
        bootstrap_servers=cluster.address,
        client_id=SPARED_CLIENT_ID,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_wait_ms=200,
    )
    await consumer.start()
    reader = Reading(asyncio.create_task(asyncio.sleep(0)), time.monotonic())

    def take(at: TopicPartition, records: list[ConsumerRecord]) -> None:
        for record in records:
            if at.topic == names.scored_face:
                audit.answer(record.value, record.key)
            else:
                audit.letter(record.value, record.key, record.headers)

    async def read() -> None:
        while True:
            for at, records in (await consumer.getmany(timeout_ms=500, max_records=500)).items():
                take(at, records)
                reader.last_record = time.monotonic()
                await asyncio.sleep(0)

    reader.task = asyncio.create_task(read())
    try:
        yield reader
    finally:
        reader.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reader.task
        await consumer.stop()


async def settle(cluster: Cluster, audit: Audit, reader: Reading, say: Say) -> None:
    """Return when everything is answered and indexed, or nothing has moved for too long."""
    last, moved = (-1, -1), time.monotonic()
    spoken = moved
    while True:
        if reader.task.done():
            reader.task.result()
        missing_points = len(audit.indexable - cluster.qdrant.points.keys())
        now = (audit.outstanding, missing_points)
        if now != last or reader.last_record > moved:
            last, moved = now, time.monotonic()
        quiet = time.monotonic() - moved
        if (now == (0, 0) and quiet > 2) or quiet > PATIENCE_S:
            return
        if time.monotonic() - spoken > 10:
            spoken = time.monotonic()
            say(f"waiting for {now[0]} events and {now[1]} points")
        await asyncio.sleep(0.25)


async def _do(cluster: Cluster, faults: tuple[Fault, ...], say: Say) -> None:
    """Carry out the plan; what lasts goes on beside what follows."""
    lasting: list[asyncio.Task[None]] = []
    try:
        for fault in faults:
            await asyncio.sleep(fault.after_s)
            say(str(fault))
            doing = asyncio.create_task(_one(cluster, fault))
            lasting.append(doing)
            if fault.lasts_s == 0 or fault.kind in BLOCKING:
                await doing
        await asyncio.gather(*lasting)
    finally:
        for task in lasting:
            task.cancel()


async def _one(cluster: Cluster, fault: Fault) -> None:  # noqa: PLR0912 - one arm a fault
    match fault.kind:
        case Kind.KILL | Kind.TERM | Kind.LEAVE:
            await _end_one(cluster, fault)
        case Kind.JOIN:
            if len(cluster.members) < MOST_WORKERS:
                cluster.join()
        case Kind.ZOMBIE:
            member = cluster.pick(fault.victim)
            if member is not None:
                await cluster.freeze(member, fault.lasts_s)
        case Kind.CUT:
            cluster.proxy.cut()
        case Kind.BLACK_HOLE:
            cluster.proxy.black_hole()
            try:
                await asyncio.sleep(fault.lasts_s)
            finally:
                cluster.proxy.heal()
        case Kind.INDEX_AWAY | Kind.INDEX_ERRORS | Kind.INDEX_SLOW:
            async with cluster.qdrant.trouble(_MOODS[fault.kind]):
                await asyncio.sleep(fault.lasts_s)
        case Kind.FALLBACK_REFUSED:
            topic = topic_names(cluster.settings).simulated_fallback
            cluster.proxy.refusal = Refusal(topic, REFUSALS[fault.number % len(REFUSALS)])
            try:
                await asyncio.sleep(fault.lasts_s)
            finally:
                cluster.proxy.refusal = None
        case Kind.SLOW_PICTURES:
            cluster.picture_server.slow = True
            try:
                await asyncio.sleep(fault.lasts_s)
            finally:
                cluster.picture_server.slow = False


async def _end_one(cluster: Cluster, fault: Fault) -> None:
    member = cluster.pick(fault.victim)
    if member is None:
        return
    if fault.kind is Kind.KILL:
        await cluster.kill(member)
    else:
        await cluster.terminate(member)
    if fault.kind is not Kind.LEAVE:
        cluster.join()


_MOODS = {
    Kind.INDEX_AWAY: Mood.AWAY,
    Kind.INDEX_ERRORS: Mood.ERRORS,
    Kind.INDEX_SLOW: Mood.SLOW,
}

"""Measure the time from sending an event to reading its answer, and compare the bare pipeline.

The bare pipeline and the worker alternate in several rounds. Binary mode.

Models are slower after a pause, because other data replaced theirs in the processor's caches. So
the bare pipeline is measured in a loop, with a pause before each picture, and as a pool of threads
under the worker's load.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiokafka import AIOKafkaConsumer

from benchmarks.bare import poisson_gaps
from benchmarks.contenders import Load, bare_run
from benchmarks.facestream_worker import worker_on
from benchmarks.ratios import percentile
from benchmarks.topic_load import BenchBroker, TopicFiller, bench_broker
from tools.kafka.apache_kafka import ApacheKafka

READY_S = 60.0
ANSWERED_S = 30.0
ALONE_S = 10.0
FEWEST = 10


@dataclass(frozen=True)
class FetchWaits:
    """Maximum fetch waits of the answer reader and of the worker.

    Kafka answers a fetch as soon as there is a record; the embedded broker only looks for records
    after half of the wait. Short waits keep this delay out of the figures. They cost CPU, so they
    are longer under load.
    """

    reader_ms: int
    worker_ms: int


ALONE_WAITS = FetchWaits(reader_ms=2, worker_ms=4)
LOADED_WAITS = FetchWaits(reader_ms=10, worker_ms=10)
DEFAULT_WAITS = FetchWaits(reader_ms=500, worker_ms=500)

LOADED_SHARE = 0.6
"""Share of the worker's measured throughput."""


@dataclass(frozen=True)
class LatencyRound:
    """Milliseconds of each picture in one round.

    ``bare_ms``: bare models in a loop; ``paced_ms``: with a pause before each picture, at least as
    long as between events sent one at a time; ``pool_ms``: a pool of them under the load of
    ``loaded_ms``. ``alone_ms``: the worker, one event at a time; ``loaded_ms``: the worker under a
    Poisson stream of ``loaded_rate`` events per second, empty if not measured.
    """

    bare_ms: tuple[float, ...]
    alone_ms: tuple[float, ...]
    loaded_ms: tuple[float, ...]
    paced_ms: tuple[float, ...] = ()
    pool_ms: tuple[float, ...] = ()
    loaded_rate: float = 0.0


@dataclass(frozen=True)
class LatencyPlan:
    """Number of rounds, events per round, and events per second of the load; None for no load.

    ``threads`` is the size of the worker's and of the bare models' pool.
    """

    rounds: int
    alone: int
    loaded: int
    loaded_rate: float
    threads: int


async def measure_latency(
    load: Load, plan: LatencyPlan, folder: Path, say: Callable[[str], None]
) -> list[LatencyRound]:
    """Measure on the embedded broker. Raises ``TimeoutError`` when an answer is missing."""
    measure = _Measure(load, plan, ALONE_WAITS, LOADED_WAITS, say)
    rounds = []
    for number in range(plan.rounds):
        rounds.append(await measure.round(number, folder / f"latency-{number}"))
        say(f"latency {number + 1}/{plan.rounds}")
    return rounds


async def measure_on_kafka(
    load: Load, plan: LatencyPlan, folder: Path, say: Callable[[str], None]
) -> list[LatencyRound]:
    """Measure on Apache Kafka with default fetch waits.

    Raises ``NoKafkaHere`` if it cannot run here, ``TimeoutError`` when an answer is missing.
    """
    rounds = []
    kafka = ApacheKafka(folder / "kafka", heap_mb=512)
    await asyncio.to_thread(kafka.start)
    try:
        measure = _Measure(load, plan, DEFAULT_WAITS, DEFAULT_WAITS, say, kafka.address())
        for number in range(plan.rounds):
            rounds.append(await measure.round(number, folder / f"on-kafka-{number}"))
            say(f"latency on Apache Kafka {number + 1}/{plan.rounds}")
    finally:
        await asyncio.to_thread(kafka.stop)
    return rounds


@dataclass(frozen=True)
class _Measure:
    load: Load
    plan: LatencyPlan
    alone_waits: FetchWaits
    loaded_waits: FetchWaits
    say: Callable[[str], None]
    broker: str | None = None

    async def round(self, number: int, folder: Path) -> LatencyRound:
        plan = self.plan
        # No worker runs beside the bare models, not even an idle one.
        bare = await self._bare(1, plan.alone)
        async with self._worker_and_client(folder / "alone", self.alone_waits) as client:
            alone = await client.alone(plan.alone)
        pause = max(0.0, percentile(alone, 0.5) - percentile(bare, 0.5))
        paced = await self._bare(1, plan.alone, "--pause-ms", f"{pause:.3f}")
        loaded: tuple[float, ...] = ()
        pool: tuple[float, ...] = ()
        if plan.loaded:
            try:
                async with self._worker_and_client(folder / "loaded", self.loaded_waits) as client:
                    loaded = await client.at_rate(plan.loaded, plan.loaded_rate, seed=number)
            except TimeoutError as error:
                self.say(f"under load FAILED: {error or 'an answer did not come'}")
            same = ("--rate", f"{plan.loaded_rate:.3f}", "--seed", str(number))
            pool = await self._bare(plan.threads, plan.loaded, *same, warm=self.load.warm)
        return LatencyRound(bare, alone, loaded, paced, pool, plan.loaded_rate)

    async def _bare(
        self, threads: int, pictures: int, *how: str, warm: int = 10
    ) -> tuple[float, ...]:
        run = await asyncio.to_thread(bare_run, self.load, threads, pictures, warm, how)
        return run.latencies_ms

    @asynccontextmanager
    async def _worker_and_client(self, folder: Path, waits: FetchWaits) -> AsyncIterator[_Client]:
        async with bench_broker(folder, self.broker) as bench:
            with worker_on(bench, KAFKA_FETCH_MAX_WAIT_MS=str(waits.worker_ms)) as worker:
                await asyncio.to_thread(worker.wait_ready, READY_S)
                async with _client(bench, self.load, waits.reader_ms) as client:
                    await client.alone(self.load.warm)
                    yield client


@asynccontextmanager
async def _client(bench: BenchBroker, load: Load, fetch_wait_ms: int) -> AsyncIterator[_Client]:
    consumer = AIOKafkaConsumer(
        bench.topics.scored_face,
        bootstrap_servers=bench.broker,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_wait_ms=fetch_wait_ms,
    )
    await consumer.start()
    try:
        async with TopicFiller(bench, load.set, binary=True) as filler:
            client = _Client(filler, consumer)
            reading = asyncio.create_task(client.read())
            try:
                yield client
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
    finally:
        await consumer.stop()


class _Client:
    """Sends events and records when their answers are read; an event's last face counts."""

    def __init__(self, filler: TopicFiller, consumer: AIOKafkaConsumer) -> None:
        self._filler = filler
        self._consumer = consumer
        self._answered: dict[str, asyncio.Future[float]] = {}
        self._faces: dict[str, int] = {}

    async def read(self) -> None:
        async for record in self._consumer:
            answer = json.loads(record.value)
            event = answer["event_id"]
            self._faces[event] = self._faces.get(event, 0) + 1
            if self._faces[event] == answer["face_count"]:
                future = self._future(event)
                if not future.done():
                    future.set_result(time.perf_counter())

    async def alone(self, events: int) -> tuple[float, ...]:
        """Send each event after the previous answer, and return the milliseconds of each.

        Stops early after ``ALONE_S`` seconds.
        """
        found: list[float] = []
        until = time.perf_counter() + ALONE_S
        while len(found) < events and (len(found) < FEWEST or time.perf_counter() < until):
            found.append(await self._one(time.perf_counter()))
        return tuple(found)

    async def at_rate(self, events: int, rate: float, seed: int) -> tuple[float, ...]:
        """Send a Poisson stream and return the milliseconds of each event.

        They count from when the event was due, so that a delayed sender does not hide a wait.
        """
        due, tasks = time.perf_counter(), []
        for gap in itertools.islice(poisson_gaps(rate, seed), events):
            due += gap
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.append(asyncio.create_task(self._one(due)))
        return tuple(await asyncio.gather(*tasks))

    async def _one(self, due: float) -> float:
        event_id = await self._filler.send_one()
        answered = await asyncio.wait_for(self._future(event_id), ANSWERED_S)
        return (answered - due) * 1000

    def _future(self, event: str) -> asyncio.Future[float]:
        if event not in self._answered:
            self._answered[event] = asyncio.get_running_loop().create_future()
        return self._answered[event]

"""How long one event takes from its sender to the reader of its answer, beside the bare pipeline.

The bare pipeline and the worker take turns, in several rounds. Binary mode.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiokafka import AIOKafkaConsumer

from benchmarks.contenders import Load, bare_run
from benchmarks.facestream_worker import worker_on
from benchmarks.topic_load import Filler, Ground, ground
from tests.kafka.apache_kafka import ApacheKafka

READY_S = 60.0
ANSWERED_S = 30.0
ALONE_S = 10.0
FEWEST = 10


@dataclass(frozen=True)
class FetchWaits:
    """How long the broker may hold a fetch of the reader of answers, and of the worker.

    The embedded broker looks for new records after half of it, and not before; Kafka answers a
    fetch as soon as there is a record. So short waits take this peculiarity out of what is
    measured. They cost CPU, of which one event at a time leaves enough; under load they are longer.
    """

    reader_ms: int
    worker_ms: int


ALONE_WAITS = FetchWaits(reader_ms=2, worker_ms=4)
LOADED_WAITS = FetchWaits(reader_ms=10, worker_ms=10)
DEFAULT_WAITS = FetchWaits(reader_ms=500, worker_ms=500)

LOADED_SHARE = 0.6
"""Of what the worker can do."""


@dataclass(frozen=True)
class LatencyRound:
    """Milliseconds of each picture: bare, one event at a time, and under load where measured."""

    bare_ms: tuple[float, ...]
    alone_ms: tuple[float, ...]
    loaded_ms: tuple[float, ...]


@dataclass(frozen=True)
class LatencyPlan:
    """How many rounds, how many events in each, and the load's events a second; none: no load."""

    rounds: int
    alone: int
    loaded: int
    loaded_rate: float


async def measure_latency(
    load: Load, plan: LatencyPlan, folder: Path, say: Callable[[str], None]
) -> list[LatencyRound]:
    """Raises TimeoutError when an answer does not come."""
    rounds = []
    for number in range(plan.rounds):
        # Nothing else runs beside the bare models, no worker that waits for events either.
        bare = await asyncio.to_thread(bare_run, load, 1, plan.alone, warm=10)
        async with _worker_and_client(load, folder / f"alone-{number}", ALONE_WAITS) as client:
            alone = await client.alone(plan.alone)
        loaded: tuple[float, ...] = ()
        if plan.loaded:
            place = folder / f"loaded-{number}"
            async with _worker_and_client(load, place, LOADED_WAITS) as client:
                loaded = await client.at_rate(plan.loaded, plan.loaded_rate, seed=number)
        rounds.append(LatencyRound(bare.latencies_ms, alone, loaded))
        say(f"latency {number + 1}/{plan.rounds}")
    return rounds


async def measure_on_kafka(
    load: Load, plan: LatencyPlan, folder: Path, say: Callable[[str], None]
) -> list[LatencyRound]:
    """One event at a time on Apache Kafka, at the default waits.

    Raises NoKafkaHere where it cannot run, and TimeoutError when an answer does not come.
    """
    rounds = []
    kafka = ApacheKafka(folder / "kafka", heap_mb=512)
    await asyncio.to_thread(kafka.start)
    try:
        for number in range(plan.rounds):
            bare = await asyncio.to_thread(bare_run, load, 1, plan.alone, warm=10)
            place = folder / f"on-kafka-{number}"
            async with _worker_and_client(load, place, DEFAULT_WAITS, kafka.address()) as client:
                rounds.append(LatencyRound(bare.latencies_ms, await client.alone(plan.alone), ()))
            say(f"latency on Apache Kafka {number + 1}/{plan.rounds}")
    finally:
        await asyncio.to_thread(kafka.stop)
    return rounds


@asynccontextmanager
async def _worker_and_client(
    load: Load, folder: Path, waits: FetchWaits, broker: str | None = None
) -> AsyncIterator[_Client]:
    async with ground(folder, broker) as place:
        with worker_on(place, KAFKA_FETCH_MAX_WAIT_MS=str(waits.worker_ms)) as worker:
            await asyncio.to_thread(worker.wait_ready, READY_S)
            async with _client(place, load, waits.reader_ms) as client:
                await client.alone(load.warm)
                yield client


@asynccontextmanager
async def _client(place: Ground, load: Load, fetch_wait_ms: int) -> AsyncIterator[_Client]:
    consumer = AIOKafkaConsumer(
        place.topics.scored_face,
        bootstrap_servers=place.broker,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_wait_ms=fetch_wait_ms,
    )
    await consumer.start()
    try:
        async with Filler(place, load.set, binary=True) as filler:
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
    """Sends events, and notes when their answers are read; an event's last face counts."""

    def __init__(self, filler: Filler, consumer: AIOKafkaConsumer) -> None:
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
        """Milliseconds of each event, the next sent when the one before is answered.

        Fewer events where they take longer than ALONE_S together.
        """
        found: list[float] = []
        until = time.perf_counter() + ALONE_S
        while len(found) < events and (len(found) < FEWEST or time.perf_counter() < until):
            found.append(await self._one(time.perf_counter()))
        return tuple(found)

    async def at_rate(self, events: int, rate: float, seed: int) -> tuple[float, ...]:
        """Milliseconds of each event of a Poisson stream, whether or not the worker keeps up.

        From when each was due: a sender that is held up hides nothing.
        """
        rng = random.Random(seed)  # noqa: S311 - a load
        due, tasks = time.perf_counter(), []
        for _ in range(events):
            due += rng.expovariate(rate)
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

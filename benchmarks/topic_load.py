"""Fill a topic with events and read the answers."""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from benchmarks.picture_sets import PictureSet
from schemas.codec import encode_image_submitted, encode_image_submitted_binary
from schemas.image_submitted import ImageSubmitted
from streams.config.settings import Settings, pinned_environment, pinned_settings
from streams.inference.result_batches import MAX_BATCH
from streams.kafka.topic_creation import ensure_topics
from streams.kafka.topics import TopicNames, topic_names
from streams.local.embedded_broker import EmbeddedBroker, free_port

PARTITIONS = 8
USERS = 97
SESSION_S = "4"
"""Short, because the embedded broker admits the first member of a group after half of it."""

AT_ONCE = 500
"""Events encoded before they are sent: 100 of 12 megapixels take a third of a gigabyte."""

IDLE_LIMIT_S = 60.0
ASK_EVERY_S, STANDS_S = 0.5, 1.0
NEARLY_ALL = 0.95
"""Share of the awaited answers; the embedded broker reports a few less than it has."""
JSON_TYPE = b"application/json"

LONGER_THAN_A_BURST = 2 * MAX_BATCH


class NoProgress(Exception):
    """A contender stopped answering."""


@dataclass(frozen=True)
class BenchBroker:
    """A running broker with topics, and a folder for a contender's files."""

    broker: str
    folder: Path
    settings: Settings

    @property
    def topics(self) -> TopicNames:
        return topic_names(self.settings)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a worker; all other settings keep their defaults."""
        empty = self.folder / "empty.env"
        empty.touch()
        return pinned_environment(
            empty,
            KAFKA_BOOTSTRAP_SERVERS=self.broker,
            KAFKA_SESSION_TIMEOUT_S=SESSION_S,
            KAFKA_PARTITIONS=str(PARTITIONS),
            QDRANT_PATH=str(self.folder / "index"),
            LOG_FORMAT="json",
        )


@asynccontextmanager
async def bench_broker(folder: Path, broker: str | None = None) -> AsyncIterator[BenchBroker]:
    """Start a fresh embedded broker, or use ``broker``."""
    folder.mkdir(parents=True, exist_ok=True)
    if broker is None:
        embedded = EmbeddedBroker(free_port(), log_file=folder / "broker.log")
        await asyncio.to_thread(embedded.start)
        try:
            yield await _with_topics(embedded.address, folder)
        finally:
            await asyncio.to_thread(embedded.stop)
    else:
        yield await _with_topics(broker, folder)


async def _with_topics(broker: str, folder: Path) -> BenchBroker:
    settings = pinned_settings(kafka_bootstrap_servers=broker, kafka_partitions=PARTITIONS)
    await ensure_topics(settings)
    return BenchBroker(broker, folder, settings)


class TopicFiller:
    """Publishes events of a picture set, evenly over users and partitions."""

    def __init__(self, bench: BenchBroker, pictures: PictureSet, *, binary: bool) -> None:
        self._bench = bench
        self._set = pictures
        self._binary = binary
        self._published = 0
        self._producer = AIOKafkaProducer(
            bootstrap_servers=bench.broker,
            acks="all",
            max_request_size=bench.settings.kafka_max_message_bytes,
        )

    async def __aenter__(self) -> TopicFiller:
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()

    async def publish(self, events: int) -> None:
        """Publish a number of events, and return when the broker has acknowledged all.

        They are encoded first, so that the topic fills quickly.
        """
        for first in range(0, events, AT_ONCE):
            made = [self._made() for _ in range(min(AT_ONCE, events - first))]
            await asyncio.gather(*[await self._send(message) for message in made])

    async def send_one(self) -> str:
        """Send the next event, and return its id once the client has sent it."""
        message = self._made()
        await self._send(message)
        return message.event_id

    def _made(self) -> _Message:
        number, self._published = self._published, self._published + 1
        event = ImageSubmitted(
            event_id=uuid4(),
            user_id=f"user-{number % USERS}",
            image=self._set.pictures[number % len(self._set.pictures)],
            max_faces=self._set.max_faces,
        )
        if self._binary:
            value, headers = encode_image_submitted_binary(event, "image/jpeg")
        else:
            value, headers = encode_image_submitted(event), [("content-type", JSON_TYPE)]
        return _Message(str(event.event_id), event.user_id, value, headers, number % PARTITIONS)

    async def _send(self, message: _Message) -> asyncio.Future[object]:
        sent: asyncio.Future[object] = await self._producer.send(
            self._bench.topics.image_submitted,
            message.value,
            key=message.user_id.encode(),
            headers=message.headers,
            partition=message.partition,
        )
        return sent


@dataclass(frozen=True)
class _Message:
    event_id: str
    user_id: str
    value: bytes
    headers: list[tuple[str, bytes]]
    partition: int


@dataclass
class Answers:
    """The answered events, each with the record timestamp of its last face."""

    at: dict[str, float] = field(default_factory=dict)
    faces: int = 0
    simulated: int = 0
    total_bytes: int = 0

    def add(self, value: bytes, timestamp_ms: int) -> None:
        answer = json.loads(value)
        self.total_bytes += len(value)
        event, when = answer["event_id"], timestamp_ms / 1000
        self.at[event] = max(when, self.at.get(event, 0.0))
        self.faces += answer["face_count"] > 0
        self.simulated += answer.get("provenance", "real") != "real"

    def moments(self) -> list[float]:
        """Return the times of the answers, in seconds since the epoch, ascending."""
        return sorted(self.at.values())


class AnswerReader:
    """Reads scored-face from its beginning, once nearly all awaited answers are there.

    Until then it only asks the broker for the number of records, which leaves the CPU to the
    contender. It also reads when that number does not change for a second. Records are decoded when
    there are enough. ``check`` raises if the contender has ended.
    """

    def __init__(self, bench: BenchBroker, check: Callable[[], None]) -> None:
        self.answers = Answers()
        self._check = check
        self._topic = bench.topics.scored_face
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bench.broker,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            fetch_max_wait_ms=100,
        )
        self._partitions: list[TopicPartition] = []
        self._unread: list[tuple[bytes, int]] = []

    async def until(self, events: int) -> Answers:
        """Wait for a number of answered events. Raises ``NoProgress`` after an idle minute."""
        grew, most = time.monotonic(), 0
        while (records := await self._published()) < NEARLY_ALL * events:
            if records > most:
                grew, most = time.monotonic(), records
            elif time.monotonic() - grew > STANDS_S:
                break  # the contender is idle, so reading does not slow it
            self._check()
            await asyncio.sleep(ASK_EVERY_S)
        last = time.monotonic()
        while len(self.answers.at) < events:
            batches = await self._consumer.getmany(timeout_ms=500)
            for record in (record for batch in batches.values() for record in batch):
                self._unread.append((record.value, record.timestamp))
                last = time.monotonic()
            if len(self.answers.at) + len(self._unread) >= events:
                self._decode()
            self._check()
            if time.monotonic() - last > IDLE_LIMIT_S:
                self._decode()
                raise NoProgress(
                    f"{len(self.answers.at)} of {events} events answered, then nothing"
                )
        return self.answers

    def _decode(self) -> None:
        for value, timestamp_ms in self._unread:
            self.answers.add(value, timestamp_ms)
        self._unread.clear()

    async def _published(self) -> int:
        """Return the number of records; an event has one per face."""
        try:
            return sum((await self._consumer.end_offsets(self._partitions)).values())
        except KafkaError as error:
            raise NoProgress(f"the broker reports no offsets: {error!r}") from error

    async def __aenter__(self) -> AnswerReader:
        await self._consumer.start()
        topic = self._topic
        found = self._consumer.partitions_for_topic(topic) or ()
        self._partitions = [TopicPartition(topic, partition) for partition in found]
        self._consumer.assign(self._partitions)
        return self

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(Exception):  # the broker may have stopped
            await self._consumer.stop()


async def answers_of(bench: BenchBroker, events: int, check: Callable[[], None]) -> Answers:
    """Wait for the answers of a number of events; see ``AnswerReader``."""
    async with AnswerReader(bench, check) as reader:
        return await reader.until(events)


def first_of(moments: Sequence[float], since: float) -> int:
    """Return the index of the first answer at or after a time, at most the middle one.

    Half of the answers remain to be measured even if all came while the topic was filling.
    """
    return min(bisect.bisect_left(moments, since), len(moments) // 2)


def before_pause(moments: Sequence[float], first: int) -> int:
    """Return the index of the answer before the first long pause from ``first`` on.

    A worker publishes its results in bursts. A time span that begins within a burst would count
    work done before it: 3 % of 600 events with bursts of 16. A pause is long if it is at least half
    of the longest nearby, so that with a plain consumer's steady answers it is one of the first.
    """
    last = min(first + LONGER_THAN_A_BURST, (first + len(moments)) // 2, len(moments) - 2)
    pauses = [later - one for one, later in itertools.pairwise(moments[first : last + 2])]
    long = max(pauses, default=0.0) / 2
    return first + next((at for at, pause in enumerate(pauses) if pause >= long), 0)

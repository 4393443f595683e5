"""A broker with a topic full of events, and the answers that come for them."""

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
from streams.inference.result_batches import MOST_TOGETHER
from streams.kafka.topics import TopicNames, ensure_topics, topic_names
from streams.local.embedded_broker import EmbeddedBroker, free_port

PARTITIONS = 8
USERS = 97
SESSION_S = "4"
"""Short: the embedded broker lets the first member of a group in after half of it."""

AT_ONCE = 500
"""Events that are made before they are sent: 100 of 12 megapixels take a third of a gigabyte."""

STUCK_S = 60.0
ASK_EVERY_S, STANDS_S = 0.5, 1.0
NEARLY = 0.95
"""Of the awaited answers; the embedded broker tells of a few less than it has."""
JSON_TYPE = b"application/json"

LONGER_THAN_A_BURST = 2 * MOST_TOGETHER


class Stuck(Exception):
    """A contender stopped answering."""


@dataclass(frozen=True)
class Ground:
    """A running broker (its address) with topics, and a folder for what a contender keeps."""

    broker: str
    folder: Path
    settings: Settings

    @property
    def topics(self) -> TopicNames:
        return topic_names(self.settings)

    @property
    def environment(self) -> dict[str, str]:
        """What a worker is told; every other setting is at its default."""
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
async def ground(folder: Path, broker: str | None = None) -> AsyncIterator[Ground]:
    """A fresh embedded broker, on which nothing of an earlier contender is left, or `broker`."""
    folder.mkdir(parents=True, exist_ok=True)
    if broker is None:
        embedded = EmbeddedBroker(free_port(), log_file=folder / "broker.log")
        await asyncio.to_thread(embedded.start)
        try:
            yield await _ground_on(embedded.address, folder)
        finally:
            await asyncio.to_thread(embedded.stop)
    else:
        yield await _ground_on(broker, folder)


async def _ground_on(broker: str, folder: Path) -> Ground:
    settings = pinned_settings(kafka_bootstrap_servers=broker, kafka_partitions=PARTITIONS)
    await ensure_topics(settings)
    return Ground(broker, folder, settings)


class Filler:
    """Publishes events of a picture set, evenly over users and partitions."""

    def __init__(self, place: Ground, pictures: PictureSet, *, binary: bool) -> None:
        self._place = place
        self._set = pictures
        self._binary = binary
        self._published = 0
        self._producer = AIOKafkaProducer(
            bootstrap_servers=place.broker,
            acks="all",
            max_request_size=place.settings.kafka_max_message_bytes,
        )

    async def __aenter__(self) -> Filler:
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()

    async def publish(self, events: int) -> None:
        """So many events; returns when the broker has them all.

        They are made first, so that the topic fills as fast as it can.
        """
        for first in range(0, events, AT_ONCE):
            made = [self._made() for _ in range(min(AT_ONCE, events - first))]
            await asyncio.gather(*[await self._send(message) for message in made])

    async def send_one(self) -> str:
        """The next event alone; returns its id, once the client has sent it off."""
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
            self._place.topics.image_submitted,
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
    """The answered events: when the last face of each was published, by its record's timestamp."""

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
        """Seconds since the epoch, in order."""
        return sorted(self.at.values())


class AnswerReader:
    """Reads scored-face from its beginning, once nearly as many answers are there as are awaited.

    Until then it only asks how many there are, so the processor is left to the contender; where
    their number stands still for a second, it reads too. What it reads it takes apart when there
    are enough. `check` raises when there is nobody left to answer.
    """

    def __init__(self, place: Ground, check: Callable[[], None]) -> None:
        self.answers = Answers()
        self._check = check
        self._topic = place.topics.scored_face
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=place.broker,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            fetch_max_wait_ms=100,
        )
        self._partitions: list[TopicPartition] = []
        self._unread: list[tuple[bytes, int]] = []

    async def until(self, events: int) -> Answers:
        """All so far, once so many events are answered. Raises Stuck after a minute of silence."""
        grew, most = time.monotonic(), 0
        while (records := await self._published()) < NEARLY * events:
            if records > most:
                grew, most = time.monotonic(), records
            elif time.monotonic() - grew > STANDS_S:
                break  # it is at its end, or has not begun: reading costs nobody anything
            self._check()
            await asyncio.sleep(ASK_EVERY_S)
        last = time.monotonic()
        while len(self.answers.at) < events:
            batches = await self._consumer.getmany(timeout_ms=500)
            for record in (record for batch in batches.values() for record in batch):
                self._unread.append((record.value, record.timestamp))
                last = time.monotonic()
            if len(self.answers.at) + len(self._unread) >= events:
                self._take_apart()
            self._check()
            if time.monotonic() - last > STUCK_S:
                self._take_apart()
                raise Stuck(f"{len(self.answers.at)} of {events} events answered, then nothing")
        return self.answers

    def _take_apart(self) -> None:
        for value, timestamp_ms in self._unread:
            self.answers.add(value, timestamp_ms)
        self._unread.clear()

    async def _published(self) -> int:
        """So many records are there; an event with several faces has as many."""
        try:
            return sum((await self._consumer.end_offsets(self._partitions)).values())
        except KafkaError as error:
            raise Stuck(f"the broker tells of no answers: {error!r}") from error

    async def __aenter__(self) -> AnswerReader:
        await self._consumer.start()
        topic = self._topic
        found = self._consumer.partitions_for_topic(topic) or ()
        self._partitions = [TopicPartition(topic, partition) for partition in found]
        self._consumer.assign(self._partitions)
        return self

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(Exception):  # its broker may be gone
            await self._consumer.stop()


async def answers_of(place: Ground, events: int, check: Callable[[], None]) -> Answers:
    """Once so many events are answered; see AnswerReader."""
    async with AnswerReader(place, check) as reader:
        return await reader.until(events)


def first_of(moments: Sequence[float], since: float) -> int:
    """The index of the first answer at or after a moment, of the middle one where that is later.

    Some are left to be measured even if all were answered while the topic was still filling.
    """
    return min(bisect.bisect_left(moments, since), len(moments) // 2)


def before_pause(moments: Sequence[float], first: int) -> int:
    """The index of the answer before the first long pause from `first` on.

    A worker answers in bursts what it has scored since the burst before. A span that began within
    one would count what was done before it, and one that ended there would miss as much: 3 % of 600
    events with bursts of 16. Long is half of the longest among some, so that of the steady answers
    of a plain consumer it is one of the first, and not the slowest.
    """
    last = min(first + LONGER_THAN_A_BURST, (first + len(moments)) // 2, len(moments) - 2)
    pauses = [later - one for one, later in itertools.pairwise(moments[first : last + 2])]
    long = max(pauses, default=0.0) / 2
    return first + next((at for at, pause in enumerate(pauses) if pause >= long), 0)

"""A stack of real processes: a broker, and the workers that a test starts on it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from aiokafka import AIOKafkaProducer, ConsumerRecord

from schemas.codec import decode_scored_face
from schemas.image_submitted import ImageSubmitted
from schemas.scored_face import ScoredFace
from streams.config.settings import Settings, load_settings
from streams.kafka.connection import client_options
from streams.kafka.submitter import Submitter
from streams.kafka.topic_reader import TopicReader
from streams.kafka.topics import TopicNames, topic_names
from streams.local.embedded_broker import free_port
from streams.local.worker_process import WorkerProcess
from tests.batches import batch, produce
from tools.brokers import running_broker

DEADLINE_S = 60.0
#: Short, so that the embedded broker soon admits the first member of the group.
SESSION_S = "4"


@dataclass
class Stack:
    """One broker, one index folder, and the workers that use them."""

    folder: Path
    bootstrap_servers: str
    extra: dict[str, str] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables of each worker."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "KAFKA_SESSION_TIMEOUT_S": SESSION_S,
            "KAFKA_PARTITIONS": "4",
            "QDRANT_PATH": str(self.folder / "index"),
            "LOG_FORMAT": "json",
            "ENV_FILE": str(self._empty_env_file()),
            **self.extra,
        }

    def _empty_env_file(self) -> Path:
        # The developer's own .env must not change the result of a test.
        path = self.folder / "empty.env"
        path.touch()
        return path

    @property
    def settings(self) -> Settings:
        """The Kafka settings of the stack, for clients in this process."""
        kafka = {
            name.lower(): value
            for name, value in self.environment.items()
            if name.startswith("KAFKA_")
        }
        return load_settings(**kafka)

    @property
    def topics(self) -> TopicNames:
        """The topic names."""
        return topic_names(self.settings)

    @contextmanager
    def worker(
        self, *, wait: bool = True, app: str = "streams.app", **settings: str
    ) -> Iterator[WorkerProcess]:
        """Start a worker process, and stop it at the end of the block."""
        number = next(self._numbers)
        environment = {**self.environment, **settings}
        if number > 1 and "QDRANT_PATH" not in settings:
            # Only one process can open an embedded index, so each later worker gets its own.
            environment["QDRANT_PATH"] = str(self.folder / f"index-{number}")
        worker = WorkerProcess(
            environment,
            port=free_port(),
            log_file=self.folder / f"worker-{number}.log",
            app=app,
        )
        with worker:
            if wait:
                worker.wait_ready(DEADLINE_S)
            yield worker

    @asynccontextmanager
    async def reader(self, *topics: str, from_beginning: bool = True) -> AsyncIterator[TopicReader]:
        """Read topics until the end of the block."""
        async with TopicReader(self.settings, *topics, from_beginning=from_beginning) as reader:
            yield reader

    @asynccontextmanager
    async def producer(self, **options: Any) -> AsyncIterator[AIOKafkaProducer]:
        """Start a producer that sends any bytes, also those that a submitter would reject."""
        producer = AIOKafkaProducer(
            **client_options(self.settings),
            acks="all",
            max_request_size=20 * 1024 * 1024,
            **options,
        )
        await producer.start()
        try:
            yield producer
        finally:
            await producer.stop()

    async def publish(
        self,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
        topic: str | None = None,
        **options: Any,
    ) -> None:
        """Publish bytes unchanged, to ``image-submitted`` by default."""
        to = topic or self.topics.image_submitted
        async with self.producer(**options) as producer:
            if key is None and value is None:
                # aiokafka refuses to send such a record, other clients do not.
                assert await produce(producer, to, batch([(None, None, headers)])) == 0
            else:
                await producer.send_and_wait(to, value, key=key, headers=list(headers))

    def submitter(self) -> Submitter:
        """Create a client that publishes pictures."""
        return Submitter(self.settings)


@contextmanager
def running_stack(folder: Path, **extra: str) -> Iterator[Stack]:
    """Start a stack with the broker that ``TEST_BROKER`` selects."""
    folder.mkdir(parents=True, exist_ok=True)
    with running_broker(folder) as broker:
        yield Stack(folder, broker.bootstrap_servers, {**broker.environment, **extra})


async def first_record(
    reader: TopicReader,
    matches: Callable[[ConsumerRecord], bool],
    deadline_s: float = DEADLINE_S,
) -> ConsumerRecord:
    """Return the next record that matches; fail after the deadline."""
    async with asyncio.timeout(deadline_s):
        async for record in reader.records(follow=True):
            if matches(record):
                return record
    raise AssertionError("a following reader does not end")


async def answers_for(
    reader: TopicReader, event_ids: set[UUID], deadline_s: float = DEADLINE_S
) -> dict[UUID, dict[int, ScoredFace]]:
    """Return all faces of these events by event and face index; fail after the deadline."""
    answers: dict[UUID, dict[int, ScoredFace]] = {}

    def complete(event_id: UUID) -> bool:
        faces = answers.get(event_id, {})
        return any(len(faces) >= face.face_count for face in faces.values())

    async with asyncio.timeout(deadline_s):
        async for record in reader.records(follow=True):
            face = decode_scored_face(record.value)
            if face.event_id in event_ids:
                answers.setdefault(face.event_id, {})[face.face_index] = face
            if all(complete(event_id) for event_id in event_ids):
                return answers
    raise AssertionError("a following reader does not end")


def wait_until(condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Poll a condition of another process; fail with ``what`` after the deadline."""
    until = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > until:
            raise AssertionError(f"not within {deadline_s:.0f} s: {what}")
        time.sleep(0.02)


def log_of(worker: WorkerProcess) -> str:
    """Return the log of a worker."""
    assert worker.log_file is not None
    return worker.log_file.read_text()


def exit_of(worker: WorkerProcess) -> tuple[int | None, str]:
    """Wait until a worker ends on its own, and return its exit status and log."""
    wait_until(lambda: worker.poll() is not None, "the worker ends")
    return worker.poll(), log_of(worker)


def image_event(user_id: str, image: bytes, **fields: Any) -> ImageSubmitted:
    """Create an event that carries its picture."""
    return ImageSubmitted(event_id=uuid4(), user_id=user_id, image=image, **fields)


def new_event_id() -> UUID:
    """Create a new event id."""
    return uuid4()

"""Hand-written stand-ins for unit tests of pure logic; nothing here replaces a real part."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from models.pipeline import FacePipeline, ScoredImage
from streams.engine.publishing import Outgoing, UnpublishableMessage
from streams.index.vector_index import FacePoint, GoneFaces
from streams.messages import Incoming


class FakePartition(NamedTuple):
    """Faust's TP."""

    topic: str
    partition: int


@dataclass(eq=False)
class FakeMessage:
    """The message under a Faust event."""

    tp: FakePartition
    offset: int
    generation_id: int = 1
    key: bytes | None = b"user"
    value: bytes | None = b"value"
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp: float = 0.0


@dataclass(eq=False)
class FakeEvent:
    """A Faust event; its ack is written down in its app."""

    app: FakeApp
    message: FakeMessage

    def ack(self) -> None:
        """As the stream's event does."""
        self.app.acked.append((self.message.tp, self.message.offset))
        self.app.consumer.unacked.discard(self.message)


@dataclass
class FakeConsumer:
    """What a window asks of Faust's consumer."""

    partitions: set[FakePartition]
    unacked: set[FakeMessage] = field(default_factory=set)
    full: set[FakePartition] = field(default_factory=set)

    def assignment(self) -> set[FakePartition]:
        """The partitions that are ours."""
        return self.partitions

    def on_buffer_full(self, tp: FakePartition) -> None:
        """Stop fetching."""
        self.full.add(tp)

    def on_buffer_drop(self, tp: FakePartition) -> None:
        """Fetch again."""
        self.full.discard(tp)


@dataclass
class FakeApp:
    """What a window asks of the Faust app."""

    consumer: FakeConsumer
    consumer_generation_id: int = 1
    should_stop: bool = False
    rebalancing: bool = False
    acked: list[tuple[FakePartition, int]] = field(default_factory=list)
    crashes: list[BaseException] = field(default_factory=list)

    async def crash(self, error: BaseException) -> None:
        """Stop the worker."""
        self.crashes.append(error)

    def event(self, partition: int, offset: int, **fields: object) -> FakeEvent:
        """An event that the consumer has delivered."""
        message = FakeMessage(FakePartition("events", partition), offset, **fields)  # type: ignore[arg-type]
        self.consumer.unacked.add(message)
        return FakeEvent(self, message)


def fake_app(partitions: int = 2) -> FakeApp:
    """An app that owns the partitions of the topic ``events``."""
    return FakeApp(FakeConsumer({FakePartition("events", n) for n in range(partitions)}))


@dataclass
class FakePublisher:
    """Writes down what it is asked to publish; refuses what is larger than its topic takes."""

    published: list[Outgoing] = field(default_factory=list)
    largest: Callable[[str], int] = lambda _: sys.maxsize
    """Bytes of the largest message for a topic."""

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        """As the real one, acknowledged at once."""
        for message in messages:
            if message.size > self.largest(message.topic):
                raise UnpublishableMessage(f"{message.size} bytes for {message.topic}")
        self.published.extend(messages)


def incoming(value: bytes | None = b"value", **fields: Any) -> Incoming:
    """A message of image-submitted; any field may be given."""
    defaults: dict[str, Any] = {
        "topic": "image-submitted",
        "partition": 3,
        "offset": 41,
        "key": b"user-1",
        "headers": (),
        "timestamp": 0.0,
    }
    return Incoming(value=value, **{**defaults, **fields})


@dataclass
class FakeProducingApp:
    """What the publisher asks of the Faust app.

    ``refusals``: what the next sends raise at once. ``acks``: what the broker answers to those it
    was handed: None for an ack, an error, or ``...`` for silence. Used up, both mean success.
    """

    refusals: list[Exception] = field(default_factory=list)
    acks: list[Any] = field(default_factory=list)
    should_stop: bool = False
    rebalancing: bool = False
    sent: list[tuple[str, bytes | None, bytes | None, list[tuple[str, bytes | None]]]] = field(
        default_factory=list
    )
    futures: list[asyncio.Future[None]] = field(default_factory=list)

    async def maybe_start_producer(self) -> FakeProducer:
        """Faust's producer."""
        return FakeProducer(self)


@dataclass
class FakeProducer:
    """Faust's producer, as far as sending goes."""

    app: FakeProducingApp

    async def send(  # noqa: PLR0917 - as Faust has it
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: None,
        timestamp: None,
        headers: list[tuple[str, bytes | None]],
    ) -> asyncio.Future[None]:
        """Hand a message to the producer; the future is the broker's ack."""
        if self.app.refusals:
            raise self.app.refusals.pop(0)
        self.app.sent.append((topic, key, value, headers))
        ack: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.app.futures.append(ack)
        answer = self.app.acks.pop(0) if self.app.acks else None
        if isinstance(answer, Exception):
            ack.set_exception(answer)
        elif answer is not ...:
            ack.set_result(None)
        return ack


@dataclass
class FakePool:
    """An inference pool whose attempts end as the test says, one after the other."""

    outcomes: Sequence[ScoredImage | Exception]
    pipeline: FacePipeline | None = None
    asked: list[tuple[bytes, float, int]] = field(default_factory=list)

    async def score(self, image: bytes, *, min_confidence: float, max_faces: int) -> ScoredImage:
        """One attempt."""
        self.asked.append((image, min_confidence, max_faces))
        outcome = self.outcomes[len(self.asked) - 1]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@dataclass
class FakeImages:
    """An image store whose fetches end as the test says, one after the other."""

    outcomes: Sequence[bytes | Exception] = ()
    asked: list[str] = field(default_factory=list)

    async def fetch(self, uri: str) -> bytes:
        """One attempt."""
        self.asked.append(uri)
        outcome = self.outcomes[len(self.asked) - 1]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@dataclass
class FakeIndex:
    """A vector index that writes down each batch, unless ``refuses`` gives an error for it."""

    refuses: Callable[[Sequence[FacePoint | GoneFaces]], Exception | None] = lambda changes: None
    tried: list[list[FacePoint | GoneFaces]] = field(default_factory=list)
    stored: list[FacePoint | GoneFaces] = field(default_factory=list)

    async def apply(self, points: Sequence[FacePoint | GoneFaces]) -> None:
        """As the real one."""
        self.tried.append(list(points))
        if error := self.refuses(points):
            raise error
        self.stored.extend(points)


@dataclass
class FakeLog:
    """A module's ``log``: keeps each line as its fields, its level and its event."""

    lines: list[dict[str, Any]] = field(default_factory=list)

    def _write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        self.lines.append({"level": level, "event": event, **fields})

    def debug(self, event: str, **fields: Any) -> None:
        """As structlog's."""
        self._write("debug", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """As structlog's."""
        self._write("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """As structlog's."""
        self._write("warning", event, fields)

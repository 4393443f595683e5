"""Hand-written stand-ins for unit tests of pure logic; nothing here replaces a real part."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from models.pipeline import FacePipeline, ScoredImage
from streams.engine.interface import Message, Partition
from streams.engine.publishing import UnpublishableMessage
from streams.index.points import FacePoint, GoneFaces
from streams.messages import Incoming, Outgoing


class FakePartition(NamedTuple):
    """A topic's partition."""

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
    headers: Sequence[tuple[str, bytes | None]] | Mapping[str, bytes | None] | None = ()
    timestamp: float = 0.0


@dataclass(eq=False)
class FakeEvent:
    """A Faust event; its ack is recorded in its engine."""

    engine: FakeEngine
    message: FakeMessage

    def ack(self) -> None:
        """Count the message as done."""
        self.engine.acked.append((self.message.tp, self.message.offset))
        self.engine.unacked.discard(self.message)


@dataclass
class FakeEngine:
    """Implements ``Engine`` and records what it is asked to do.

    ``acks``: how the next sends end: None for an ack, an error, or ``...`` for silence. Once used
    up, every send succeeds.
    """

    assigned: set[FakePartition] = field(default_factory=set)
    generation: int = 1
    stopping: bool = False
    behind: int = 0
    acked: list[tuple[FakePartition, int]] = field(default_factory=list)
    unacked: set[Message] = field(default_factory=set)
    paused: set[Partition] = field(default_factory=set)
    crashes: list[BaseException] = field(default_factory=list)
    acks: list[object] = field(default_factory=list)
    sent: list[Outgoing] = field(default_factory=list)
    unreachable: Exception | None = None
    silence: list[asyncio.Event] = field(default_factory=list)

    async def crash(self, error: BaseException) -> None:
        """Record why the worker stops."""
        self.crashes.append(error)

    def partitions(self, topic: str) -> Collection[Partition]:
        """Return the assigned partitions of a topic."""
        return [tp for tp in self.assigned if tp.topic == topic]

    def pause(self, partition: Partition) -> None:
        """Record a pause."""
        self.paused.add(partition)

    def resume(self, partition: Partition) -> None:
        """Forget a pause."""
        self.paused.discard(partition)

    def forget(self, message: Message) -> None:
        """Stop waiting for an ack."""
        self.unacked.discard(message)

    async def send(self, message: Outgoing) -> None:
        """Record a message; end as ``acks`` says."""
        self.sent.append(message)
        ack = self.acks.pop(0) if self.acks else None
        if isinstance(ack, Exception):
            raise ack
        if ack is ...:
            self.silence.append(asyncio.Event())
            await self.silence[-1].wait()

    async def lag(self, topic: str) -> int:
        """Return ``behind``, or raise ``unreachable``."""
        if self.unreachable:
            raise self.unreachable
        return self.behind

    def event(self, partition: int, offset: int, **fields: Any) -> FakeEvent:
        """Make an event of the topic ``events`` that was delivered and not acknowledged."""
        message = FakeMessage(FakePartition("events", partition), offset, **fields)
        self.unacked.add(message)
        return FakeEvent(self, message)


def fake_engine(partitions: int = 2) -> FakeEngine:
    """Make an engine that is assigned partitions of the topic ``events``."""
    return FakeEngine({FakePartition("events", number) for number in range(partitions)})


@dataclass
class FakePublisher:
    """Records published messages; refuses those that are too large for their topic."""

    published: list[Outgoing] = field(default_factory=list)
    largest: Callable[[str], int] = lambda _: sys.maxsize
    """Topic name to the size of its largest message, in bytes."""

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        """Record the messages. Raises ``UnpublishableMessage`` when one is too large."""
        for message in messages:
            if message.size > self.largest(message.topic):
                raise UnpublishableMessage(f"{message.size} bytes for {message.topic}")
        self.published.extend(messages)


def incoming(value: bytes | None = b"value", **fields: Any) -> Incoming:
    """Make a message of image-submitted; any field may be given."""
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
    """An image store whose fetches have the given outcomes, in order."""

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
    """A vector index that records each batch, unless ``refuses`` returns an error for it."""

    refuses: Callable[[Sequence[FacePoint | GoneFaces]], Exception | None] = lambda changes: None
    tried: list[list[FacePoint | GoneFaces]] = field(default_factory=list)
    stored: list[FacePoint | GoneFaces] = field(default_factory=list)

    async def apply(self, points: Sequence[FacePoint | GoneFaces]) -> None:
        """Record the batch, or raise."""
        self.tried.append(list(points))
        if error := self.refuses(points):
            raise error
        self.stored.extend(points)


@dataclass
class FakeLog:
    """A logger that records the level, event and fields of each line."""

    lines: list[dict[str, Any]] = field(default_factory=list)

    def _write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        self.lines.append({"level": level, "event": event, **fields})

    def debug(self, event: str, **fields: Any) -> None:
        """Record a line."""
        self._write("debug", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """Record a line."""
        self._write("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Record a line."""
        self._write("warning", event, fields)

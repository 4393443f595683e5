"""Hand-written stand-ins for unit tests of pure logic; nothing here replaces a real part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from streams.publishing import Outgoing


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
    """Writes down what it is asked to publish."""

    published: list[Outgoing] = field(default_factory=list)

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        """As the real one, acknowledged at once."""
        self.published.extend(messages)

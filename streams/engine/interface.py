"""The part of Faust that the worker's other parts see, typed. ``FaustEngine`` implements it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from streams.messages import Headers, Outgoing


class Partition(Protocol):
    """A partition of a topic; hashable."""

    @property
    def topic(self) -> str:
        """The topic's name."""

    @property
    def partition(self) -> int:
        """The partition's number."""


class Message(Protocol):
    """A fetched message, as Faust hands it to an agent."""

    @property
    def tp(self) -> Partition:
        """The partition it came from."""

    @property
    def offset(self) -> int:
        """The message's place in the partition."""

    @property
    def key(self) -> bytes | None:
        """The key, as published."""

    @property
    def value(self) -> bytes | None:
        """The value, as published."""

    @property
    def headers(self) -> Headers | Mapping[str, bytes | None] | None:
        """The headers. Faust gives a sequence, a mapping or None."""

    @property
    def timestamp(self) -> float:
        """Seconds since the epoch; Kafka writes -1 ms where the producer gave no time."""

    @property
    def generation_id(self) -> int:
        """The assignment during which it was fetched."""


class Event(Protocol):
    """A message on its way through an agent."""

    @property
    def message(self) -> Message:
        """The message."""

    def ack(self) -> object:
        """Count the message as done; its offset may be committed."""


class Engine(Protocol):
    """Consuming, acknowledging and producing, as windows, publisher and lag see them."""

    @property
    def generation(self) -> int:
        """The number of the current assignment. A message of another one is stale."""

    @property
    def stopping(self) -> bool:
        """Whether the worker is stopping."""

    async def crash(self, error: BaseException) -> None:
        """Stop the worker because of a bug; nothing more is acknowledged."""

    def partitions(self, topic: str) -> Collection[Partition]:
        """Return the partitions of a topic that are assigned to this worker."""

    def pause(self, partition: Partition) -> None:
        """Stop fetching a partition. Messages that were fetched already still arrive."""

    def resume(self, partition: Partition) -> None:
        """Fetch a partition again."""

    def forget(self, message: Message) -> None:
        """Stop waiting for a message's ack; it stays unacknowledged."""

    async def send(self, message: Outgoing) -> None:
        """Return when all in-sync replicas have the message.

        Raises ``KafkaError``, ``OSError``, or ``NotReady`` while the producer is not running.
        """

    async def lag(self, topic: str) -> int:
        """Count the messages of the assigned partitions that were not fetched yet.

        0 during a rebalance. Raises ``KafkaError`` or ``OSError`` when the broker does not answer.
        """

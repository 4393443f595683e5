"""The engine on Faust: the app's consumer and producer behind a typed interface."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import faust
from faust.exceptions import ProducerSendError

from streams.engine.interface import Message, Partition
from streams.messages import Outgoing


class FaustEngine:
    """Implements ``Engine`` for a Faust app."""

    def __init__(self, app: faust.App) -> None:
        self._app = app

    @property
    def generation(self) -> int:
        """See ``Engine``."""
        return int(self._app.consumer_generation_id)

    @property
    def stopping(self) -> bool:
        """See ``Engine``."""
        return bool(self._app.should_stop)

    async def crash(self, error: BaseException) -> None:
        """See ``Engine``."""
        await self._app.crash(error)

    def partitions(self, topic: str) -> Collection[Partition]:
        """See ``Engine``."""
        return [tp for tp in self._app.consumer.assignment() if tp.topic == topic]

    def pause(self, partition: Partition) -> None:
        """See ``Engine``.

        ``Consumer.pause_partitions`` would drop the messages that were fetched before the pause
        while the position moves on, and a later commit would step over them.
        """
        self._app.consumer.on_buffer_full(partition)

    def resume(self, partition: Partition) -> None:
        """See ``Engine``."""
        self._app.consumer.on_buffer_drop(partition)

    def forget(self, message: Message) -> None:
        """See ``Engine``. Faust waits for unacknowledged messages before a rebalance or stop."""
        self._app.consumer.unacked.discard(message)

    async def send(self, message: Outgoing) -> None:
        """See ``Engine``.

        This calls Faust's producer directly: ``Topic.send`` doubles the CPU cost, for serialisers
        that pass bytes through and a future that is never read.
        """
        producer = await self._app.maybe_start_producer()
        try:
            sent = await producer.send(
                message.topic, message.key, message.value, None, None, list(message.headers)
            )
        except ProducerSendError as error:
            # Faust wraps the errors that aiokafka raises at once: too large, or no metadata.
            raise (error.__cause__ or error) from None
        # The future is shared with the rest of the producer's batch. Waiting for a set of one keeps
        # a time-out from cancelling it.
        await asyncio.wait({sent})
        sent.result()

    async def lag(self, topic: str) -> int:
        """See ``Engine``."""
        partitions = self.partitions(topic)
        if not partitions or self._app.rebalancing:
            return 0
        consumer = self._app.consumer
        ends = await consumer.highwaters(*partitions)
        lag = 0
        for tp in partitions:
            position = await consumer.position(tp)
            lag += max(0, (ends.get(tp) or 0) - (position or 0))
        return lag

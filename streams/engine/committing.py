"""Offset commits, and the position where reading starts after a rebalance.

The consumer commits the offset behind the highest acknowledged one. That is safe because acks leave
a window in offset order (``in_flight.py``): every event below an acknowledged one is answered, or
no longer exists.

Faust's own consumer looks for a consecutive run of acknowledged offsets and records every offset
that the log skips. Compaction, retention and transaction markers leave such holes, and there Faust

- commits no further than one hole in each commit interval, so that a producer of a hundred
  transactions a second keeps the committed offset behind (measured on Apache Kafka 4.3);
- lists the skipped offsets, one int each: gigabytes when retention has removed a hundred million
  events behind the committed offset.

After a rebalance, reading starts at the committed offsets. Faust does not seek in a partition that
has none yet, although it has dropped the events that it had read from there. It also seeks while
the late end of an earlier rebalance may still deliver events. Both lose events (measured: a new
consumer group with a backlog, which workers join one after the other).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import IllegalStateError
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer

from streams.engine.delivery import PromptDelivery
from streams.engine.interface import Partition

#: Interval at which a waiting poll checks whether partitions were assigned or the worker stops.
ROOM_CHECK_S = 1.0
#: Largest fetch response. It bounds the memory of records that wait for room in the windows. A
#: larger record is fetched alone.
FETCH_MAX_BYTES = 1024 * 1024


class FetchingThread(AIOKafkaConsumerThread):  # type: ignore[misc]  # faust ships no usable hints
    """Faust's thread with other fetch limits, and without aborted transactions.

    Faust waits up to 1.5 s for a fetch and takes 50 MB. Records of an aborted transaction were
    never submitted, so they are not read.
    """

    def _create_worker_consumer(self, transport: object) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        settings = self.app.settings
        consumer._fetch_max_wait_ms = settings.kafka_fetch_max_wait_ms
        consumer._fetch_max_bytes = FETCH_MAX_BYTES
        consumer._isolation_level = "read_committed"
        return consumer

    async def _commit(self, offsets: Mapping[Partition, int]) -> bool:
        """Commit, and do not crash when all partitions were revoked meanwhile.

        aiokafka raises ``ValueError`` for an empty commit. The next owners start at the previous
        commit.
        """
        if not any(tp in self.assignment() for tp in offsets):
            return False
        return bool(await super()._commit(offsets))

    def look_again(self) -> None:
        """Make a waiting poll check for records that are already here; from any thread."""
        # Windows still acknowledge after the thread has ended.
        with contextlib.suppress(RuntimeError):
            self.thread_loop.call_soon_threadsafe(self._wake_polls)

    def _wake_polls(self) -> None:
        if self._consumer is not None:
            fetcher = self._consumer._fetcher
            for waiter in list(fetcher._fetch_waiters):
                fetcher._notify(waiter)


class InOrderConsumer(PromptDelivery, Consumer):  # type: ignore[misc]  # faust ships no usable hints
    """Faust's consumer, for acks that come in offset order."""

    _room: asyncio.Event | None = None

    def _new_consumer_thread(self) -> FetchingThread:
        return FetchingThread(self, loop=self.loop, beacon=self.beacon)

    async def _wait_next_records(self, timeout: float) -> object:  # noqa: ASYNC109 - Faust's name
        """Poll once the agents have taken the delivered records; see ``delivery.py``.

        With every window full it waits for room. Faust sleeps for a second there.
        """
        await self.let_agents_catch_up()
        while self.flow_active and not self.should_stop and not self._get_active_partitions():
            self._room = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._room.wait(), ROOM_CHECK_S)
        return await super()._wait_next_records(timeout)

    def on_buffer_drop(self, tp: Partition) -> None:
        """Resume a partition and deliver its records that are already here.

        A poll may be waiting for other topics, and would check again only when the broker answers
        for one of them (measured: the models idle for 4 % of the time).
        """
        super().on_buffer_drop(tp)
        if self._room is not None:
            self._room.set()
        self._thread.look_again()

    def _new_offset(self, tp: Partition) -> int | None:
        acked: list[int] = self._acked[tp]
        if not acked:
            return None
        highest = max(acked)
        acked.clear()
        self._acked_index[tp].clear()
        return highest + 1

    async def _commit_offsets(
        self, offsets: Mapping[Partition, int], start_new_transaction: bool = True
    ) -> bool:
        """Commit, and keep a failed commit for the next attempt.

        Faust counts the offset as committed either way. A partition without further events would
        then show a lag forever, and repeat its last events after the next rebalance.
        """
        before = {tp: self._committed_offset[tp] for tp in offsets}
        done = await super()._commit_offsets(offsets, start_new_transaction)
        if not done:
            for tp in self.assignment() & set(offsets):
                self._committed_offset[tp] = before[tp]
                self._acked[tp].append(offsets[tp] - 1)
        return bool(done)

    async def _add_gap(self, tp: Partition, offset_from: int, offset_to: int) -> None:
        """Record nothing: a commit does not wait for holes."""

    async def perform_seek(self) -> None:
        """Seek to the committed offsets, or to the beginning where there are none.

        The flow is stopped meanwhile, and the caller resumes it. Ends with ``app.on_sought()``.
        """
        self.stop_flow()
        await super().perform_seek()
        never = [
            TopicPartition(tp.topic, tp.partition)
            for tp in self.assignment()
            if not self._committed_offset[tp]
        ]
        if never:
            # The partition was revoked meanwhile: that rebalance seeks again.
            with contextlib.suppress(IllegalStateError):
                await self._thread.seek_to_beginning(*never)
        self.app.on_sought()

    async def seek_to_committed(self) -> Mapping[Partition, int]:
        """Seek, and count a partition as not committed where the broker has no offset for it.

        A commit that failed while its partition was revoked leaves its offset in memory.
        """
        offsets: Mapping[Partition, int | None] = await super().seek_to_committed()
        for tp, offset in offsets.items():
            if offset is None:
                self._committed_offset[tp] = None
        return offsets  # type: ignore[return-value]

"""Which offset is committed, and where reading goes on from it.

Committed is the offset behind the highest that was acknowledged.

That is right because acks leave a window in the order of offsets (``in_flight.py``): whatever lies
below an acknowledged event is answered, or is not there.

Faust's own consumer looks for a consecutive run of acknowledged offsets instead, and writes down
every offset that the log skips. Compaction, retention and the markers of a producer's transactions
make such holes, and there it

- commits no further than one hole in each commit interval, so that a producer of a hundred
  transactions a second leaves the committed offset behind for ever (measured on Apache Kafka 4.3);
- makes a list of the skipped offsets, one int for each: gigabytes when retention has removed the
  hundred million events behind the committed offset.

After a rebalance, reading goes on from the committed offsets. Faust does not go back in a partition
that has none yet, though it has thrown away what it had read from there; and it goes back while a
late end of the rebalance before may be letting events through. Both lose events (measured: a young
group with a backlog, workers joining one after the other).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import IllegalStateError
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer

from streams.engine.delivery import PromptDelivery

#: How often is looked whether partitions have been assigned, or the worker stops.
LOOKS_FOR_ROOM_S = 1.0


class FetchingThread(AIOKafkaConsumerThread):  # type: ignore[misc]  # faust ships no usable hints
    """Faust's, but for commits that are late, for a fetch's longest wait (1.5 s there) and size
    (50 MB), and for what a producer's transaction took back: it was never submitted.
    """

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        settings = self.app.settings
        consumer._fetch_max_wait_ms = settings.kafka_fetch_max_wait_ms
        consumer._fetch_max_bytes = settings.kafka_fetch_max_mb * 1024 * 1024
        consumer._isolation_level = "read_committed"
        return consumer

    async def _commit(self, offsets: Mapping[Any, int]) -> bool:
        """As Faust's, but that all partitions were taken away meanwhile is no reason to crash.

        aiokafka refuses a commit of nothing with a ValueError. The next owners begin at what was
        committed before.
        """
        if not any(tp in self.assignment() for tp in offsets):
            return False
        return bool(await super()._commit(offsets))

    def look_again(self) -> None:
        """Have a poll that waits look for records that were fetched before; from any thread."""
        # Acks still leave windows when the thread has ended.
        with contextlib.suppress(RuntimeError):
            self.thread_loop.call_soon_threadsafe(self._wake_polls)

    def _wake_polls(self) -> None:
        if self._consumer is not None:
            fetcher = self._consumer._fetcher
            for waiter in list(fetcher._fetch_waiters):
                fetcher._notify(waiter)


class InOrderConsumer(PromptDelivery, Consumer):  # type: ignore[misc]  # faust ships no usable hints
    """Faust's consumer, for acks that come in the order of offsets."""

    _room: asyncio.Event | None = None

    def _new_consumer_thread(self) -> FetchingThread:
        return FetchingThread(self, loop=self.loop, beacon=self.beacon)

    async def _wait_next_records(self, timeout: float) -> Any:  # noqa: ASYNC109 - Faust's name
        """As Faust's, once the agents have taken what was delivered; see ``delivering.py``.

        With every window full it waits for room, where Faust sleeps for a second.
        """
        await self.let_agents_take()
        while self.flow_active and not self.should_stop and not self._get_active_partitions():
            self._room = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._room.wait(), LOOKS_FOR_ROOM_S)
        return await super()._wait_next_records(timeout)

    def on_buffer_drop(self, tp: Any) -> None:
        """As Faust's, but records of this partition that are here already do not wait.

        A poll may be waiting for the other topics meanwhile, and would only look again when the
        broker answers for one of them (measured: the models idle for 4 % of the time).
        """
        super().on_buffer_drop(tp)
        if self._room is not None:
            self._room.set()
        self._thread.look_again()

    def _new_offset(self, tp: Any) -> int | None:
        acked: list[int] = self._acked[tp]
        if not acked:
            return None
        highest = max(acked)
        acked.clear()
        self._acked_index[tp].clear()
        return highest + 1

    async def _commit_offsets(
        self, offsets: Mapping[Any, int], start_new_transaction: bool = True
    ) -> bool:
        """Commit, and remember what the broker did not take: it is tried again.

        Faust counts an offset as committed either way. A partition in which nothing more happens
        would then show a lag for ever, and repeat its last events after the next rebalance.
        """
        before = {tp: self._committed_offset[tp] for tp in offsets}
        done = await super()._commit_offsets(offsets, start_new_transaction)
        if not done:
            for tp in self.assignment() & set(offsets):
                self._committed_offset[tp] = before[tp]
                self._acked[tp].append(offsets[tp] - 1)
        return bool(done)

    async def _add_gap(self, tp: Any, offset_from: int, offset_to: int) -> None:
        """Remember nothing: holes do not hold a commit up."""

    async def perform_seek(self) -> None:
        """Go back to the committed offsets, or to the beginning where there are none.

        Nothing is let through meanwhile; who calls this resumes the flow. The app is told by
        ``on_sought``.
        """
        self.stop_flow()
        await super().perform_seek()
        never = [
            TopicPartition(tp.topic, tp.partition)
            for tp in self.assignment()
            if not self._committed_offset[tp]
        ]
        if never:
            # Taken away meanwhile: the rebalance that did it seeks anew.
            with contextlib.suppress(IllegalStateError):
                await self._thread.seek_to_beginning(*never)
        self.app.on_sought()

    async def seek_to_committed(self) -> Mapping[Any, int]:
        """As Faust's, but what the broker knows no offset of counts as not committed.

        A commit that failed while its partition was taken away leaves its offset behind.
        """
        offsets: Mapping[Any, int | None] = await super().seek_to_committed()
        for tp, offset in offsets.items():
            if offset is None:
                self._committed_offset[tp] = None
        return offsets  # type: ignore[return-value]

"""Writes changes to the index in batches, and retries while the index is unavailable.

One batch is written at a time, in the order of arrival, so that an older score of a face never
overwrites a newer one. While the index is unavailable the batch is retried without limit; scoring
continues, and the topic ``scored-face`` holds what is not indexed yet.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from streams.engine.publishing import pause
from streams.index.errors import IndexRejected, IndexUnavailable
from streams.index.points import FacePoint, GoneFaces
from streams.index.vector_index import VectorIndex
from streams.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

#: The wait of a batch's first change for others: a write costs as much as several points.
LINGER_S = 0.05
#: Most changes in one write.
LARGEST_BATCH = 64
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 10.0
#: The longest pause that a server may ask for; a broken proxy may ask for hours.
LONGEST_ASKED_S = 30.0
#: The longest time between two calls of ``on_wait`` during a pause.
LONGEST_SILENCE_S = 5.0
#: Interval between calls of ``on_wait`` while the index opens.
OPENING_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class _Entry:
    change: FacePoint | GoneFaces
    written: asyncio.Future[None]

    def resolve(self, error: Exception | None) -> None:
        """Wake the caller, unless it was cancelled."""
        if self.written.done():
            return
        if error is None:
            self.written.set_result(None)
        else:
            self.written.set_exception(error)


class BatchWriter:
    """Gathers changes into batches of at most ``batch`` and writes them in order.

    ``is_leaving`` says that the worker gives up its partitions. ``on_wait`` is called while the
    writer waits for the index, so that health does not report the worker as stalled.
    """

    def __init__(
        self,
        index: Callable[[], Awaitable[VectorIndex]],
        *,
        batch: int = LARGEST_BATCH,
        is_leaving: Callable[[], bool],
        metrics: Metrics,
        on_wait: Callable[[], None],
    ) -> None:
        self._index = index
        self._batch = batch
        self._is_leaving = is_leaving
        self._metrics = metrics
        self._on_wait = on_wait
        self._queue: asyncio.Queue[_Entry] = asyncio.Queue()

    async def write(self, change: FacePoint | GoneFaces) -> None:
        """Return when the change is stored.

        Raises ``IndexRejected`` when it can never be stored, and ``Abandoned`` when the worker
        leaves while the index is unavailable.
        """
        entry = _Entry(change, asyncio.get_running_loop().create_future())
        self._queue.put_nowait(entry)
        await entry.written

    async def run(self) -> None:
        """Write batches until cancelled."""
        while True:
            batch = await self._next_batch()
            # The events of cancelled callers belong to another worker now.
            batch = [entry for entry in batch if not entry.written.done()]
            if batch:
                await self._write(batch)

    async def _next_batch(self) -> list[_Entry]:
        batch = [await self._queue.get()]
        if self._queue.empty():
            await asyncio.sleep(LINGER_S)
        while len(batch) < self._batch and not self._queue.empty():
            batch.append(self._queue.get_nowait())
        return batch

    async def _write(self, batch: list[_Entry]) -> None:
        """Store a batch and wake its callers; a batch with a rejected change is written singly."""
        failure: Exception | None = None
        try:
            await self._store([entry.change for entry in batch])
        except IndexRejected as error:
            if len(batch) > 1:
                for entry in batch:
                    await self._write([entry])
                return
            failure = error
        except Exception as error:
            failure = error
        for entry in batch:
            entry.resolve(failure)

    async def _store(self, changes: Sequence[FacePoint | GoneFaces]) -> None:
        """Apply the changes, with growing pauses while the index is unavailable."""
        wait = FIRST_WAIT_S
        while True:
            try:
                await self._apply(changes)
                return
            except IndexUnavailable as error:
                next_try_s = max(wait, min(error.retry_after_s or 0, LONGEST_ASKED_S))
                log.warning(
                    "the index is unavailable; retrying",
                    reason=str(error),
                    faces=len(changes),
                    next_try_s=next_try_s,
                )
            await self._wait_out(next_try_s)
            self._metrics.retry("index")
            wait = min(wait * 2, LONGEST_WAIT_S)

    async def _apply(self, changes: Sequence[FacePoint | GoneFaces]) -> None:
        index = await self._open_index()
        started = time.perf_counter()
        await index.apply(changes)
        self._metrics.index_write(time.perf_counter() - started)

    async def _wait_out(self, seconds: float) -> None:
        """Pause, and call ``on_wait`` often enough that health sees a wait and not a stall."""
        while True:
            self._on_wait()
            piece = min(seconds, LONGEST_SILENCE_S)
            await pause(piece, self._is_leaving)
            seconds -= piece
            if seconds <= 0:
                return

    async def _open_index(self) -> VectorIndex:
        """Wait for the index to open. Raises ``Abandoned`` when the worker leaves before that."""
        opening = asyncio.ensure_future(self._index())
        try:
            while not opening.done():
                await asyncio.wait({opening}, timeout=OPENING_POLL_S)
                if not opening.done():
                    self._on_wait()
                    await pause(0, self._is_leaving)
            return opening.result()
        finally:
            opening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await opening

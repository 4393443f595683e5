"""The inference pool: a few threads that score pictures, each attempt under a deadline.

Decoding, detection and embedding release the GIL, so threads scale with cores. The clock of an
attempt starts when a thread takes it up, not while it waits. A watchdog task cancels attempts past
their deadline inside onnxruntime, which frees their thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import structlog

from models.errors import InferenceFailed, InferenceTerminated, ModelsError
from models.pipeline import CropEmbedding, DetectedFaces, FacePipeline, ScoredImage
from models.session import Cancellation
from streams.errors import InferenceTimeout
from streams.inference.attempt import Attempt, Job
from streams.inference.circuit import Circuit
from streams.inference.fair_queue import FairQueue
from streams.inference.result_batches import ResultBatches

T = TypeVar("T")

log = structlog.get_logger(__name__)

WATCH_INTERVAL_S = 0.05


class InferencePool:
    """Threads around one pipeline, whose sessions they share."""

    def __init__(
        self,
        load: Callable[[], FacePipeline],
        *,
        threads: int,
        timeout_s: float,
        circuit: Circuit | None = None,
    ) -> None:
        """``circuit`` records every attempt that tells whether the models work."""
        self._load = load
        self.threads = threads
        self._timeout_s = timeout_s
        self._circuit = circuit
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="inference")
        self._attempts: set[Attempt] = set()
        self._queue: FairQueue[Job] = FairQueue()
        self._results: ResultBatches | None = None
        self._watchdog: asyncio.Task[None] | None = None
        self._pipeline: FacePipeline | None = None

    @property
    def pipeline(self) -> FacePipeline:
        """The loaded models; ``start`` first."""
        if self._pipeline is None:
            raise RuntimeError("the inference pool has not started")
        return self._pipeline

    @property
    def ready(self) -> bool:
        """Whether the models are loaded and warm."""
        return self._pipeline is not None

    @property
    def pending(self) -> int:
        """Attempts that run or wait for a thread."""
        return len(self._attempts)

    @property
    def waiting(self) -> int:
        """Attempts that wait for a thread."""
        return len(self._queue)

    async def start(self) -> None:
        """Load and warm the models in a thread. Raises the loader's errors."""

        def load() -> FacePipeline:
            pipeline = self._load()
            pipeline.warm_up()
            return pipeline

        loop = asyncio.get_running_loop()
        self._results = ResultBatches(loop)
        self._pipeline = await loop.run_in_executor(self._executor, load)
        self._watchdog = asyncio.create_task(self._watch(self._results), name="inference-watchdog")

    async def watch(self) -> None:
        """Wait until the watchdog ends, which it should only after ``stop``. Raises its error."""
        assert self._watchdog is not None
        await asyncio.wait({self._watchdog})
        if not self._watchdog.cancelled():
            self._watchdog.result()

    async def stop(self) -> None:
        """Cancel running attempts and let the threads end."""
        if self._watchdog is not None:
            self._watchdog.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watchdog
        if self._results is not None:
            self._results.close()
        for attempt in self._attempts:
            attempt.cancellation.cancel()
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._queue = FairQueue()
        for attempt in self._attempts:
            attempt.abandon()

    async def score(
        self,
        image: bytes,
        *,
        min_confidence: float,
        max_faces: int,
        max_wait_s: float | None = None,
    ) -> ScoredImage:
        """Score one picture. ``max_wait_s``: the longest it may wait for a thread; None: no limit.

        Raises ``Busy`` after that wait, ``InferenceTimeout``, or what ``FacePipeline.score``
        raises; any error other than ``ModelsError`` becomes ``InferenceFailed``.
        """
        pipeline = self.pipeline
        return await self._run(
            lambda cancellation: pipeline.score(
                image,
                min_confidence=min_confidence,
                max_faces=max_faces,
                cancellation=cancellation,
            ),
            interactive=max_wait_s is not None,
            max_wait_s=max_wait_s,
        )

    async def detect(
        self,
        image: bytes,
        *,
        min_confidence: float,
        recorded: bool = True,
        max_wait_s: float | None = None,
    ) -> DetectedFaces:
        """Find all faces of one picture. ``recorded``: the circuit records the attempt.

        Raises ``Busy``, ``InferenceTimeout``, or what ``FacePipeline.detect`` raises.
        """
        pipeline = self.pipeline
        return await self._run(
            lambda cancellation: pipeline.detect(
                image, min_confidence=min_confidence, cancellation=cancellation
            ),
            recorded=recorded,
            max_wait_s=max_wait_s,
        )

    async def embed_aligned(
        self, image: bytes, *, recorded: bool = True, max_wait_s: float | None = None
    ) -> CropEmbedding:
        """Embed an aligned crop. Arguments and errors as of ``detect``."""
        pipeline = self.pipeline
        return await self._run(
            lambda cancellation: pipeline.embed_aligned(image, cancellation=cancellation),
            recorded=recorded,
            max_wait_s=max_wait_s,
        )

    async def probe(self) -> None:
        """Score the built-in picture, under the same deadline. Raises as ``score`` does."""
        pipeline = self.pipeline
        await self._run(pipeline.check)

    async def _run(
        self,
        work: Callable[[Cancellation], T],
        *,
        interactive: bool = True,
        recorded: bool = True,
        max_wait_s: float | None = None,
    ) -> T:
        """Do ``work`` in a thread under the deadline, and let the circuit record how it went.

        A refused picture is not recorded: it tells nothing about the models. Interactive work takes
        turns with the backlog, and its result is delivered at once.
        """
        circuit = self._circuit if recorded else None
        mark = circuit.begin() if circuit else 0
        attempt = Attempt()
        timer = self._submit(Job(attempt, work, interactive), max_wait_s)
        try:
            result: T = await attempt.result
        except InferenceTerminated:
            if not attempt.timed_out:
                raise
            if circuit:
                circuit.record(mark, succeeded=False)
            raise InferenceTimeout(self._timeout_s) from None
        except InferenceFailed:
            if circuit:
                circuit.record(mark, succeeded=False)
            raise
        except asyncio.CancelledError:
            attempt.cancellation.cancel()
            raise
        finally:
            if timer is not None:
                timer.cancel()
            self._attempts.discard(attempt)
            attempt.forget()
        if circuit:
            circuit.record(mark, succeeded=True)
        return result

    def _submit(self, job: Job, max_wait_s: float | None) -> asyncio.TimerHandle | None:
        """Queue a job. Returns the timer that ends its wait, if that is limited."""
        self._queue.put(job, interactive=job.interactive)
        try:
            self._executor.submit(self._work_on_next)
        except RuntimeError:  # the pool has stopped
            self._queue = FairQueue()
            raise InferenceTerminated from None
        self._attempts.add(job.attempt)
        if max_wait_s is None:
            return None
        loop = asyncio.get_running_loop()
        return loop.call_later(max_wait_s, job.attempt.stop_waiting, max_wait_s)

    def _work_on_next(self) -> None:
        assert self._results is not None
        job = self._queue.take()
        attempt, at_once = job.attempt, job.interactive
        attempt.started = time.monotonic()
        try:
            end = partial(attempt.end, job.work(attempt.cancellation), None)
        except ModelsError as error:
            end, at_once = partial(attempt.end, None, error), True
        except BaseException as error:
            # A bug that this picture triggers. Raised unchanged, it would stop every worker that
            # receives the picture, one after the other.
            log.exception("scoring raised an unexpected error")
            failure = InferenceFailed("pipeline", f"{type(error).__name__}: {error}")
            end, at_once = partial(attempt.end, None, failure), True
        self._results.add(end, batch_size=0 if at_once else self.waiting)
        del end  # it holds the result, or an error with its frames and the picture

    async def _watch(self, results: ResultBatches) -> None:
        while True:
            await asyncio.sleep(WATCH_INTERVAL_S)
            results.deliver_late()
            now = time.monotonic()
            for attempt in self._attempts:
                late = attempt.started is not None and now - attempt.started > self._timeout_s
                if late and not attempt.timed_out:
                    attempt.timed_out = True
                    attempt.cancellation.cancel()

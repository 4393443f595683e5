"""The inference pool: a few threads that score pictures, each attempt under a deadline.

Decoding, detection and embedding release the GIL, so threads scale with cores. The clock of an
attempt starts when a thread takes it up, not while it waits. One watchdog task looks at what is
running; an attempt past its deadline is cancelled inside onnxruntime, which frees its thread.

While attempts wait for a thread, results come back in bursts (``bursts.py``).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import structlog

from models.errors import InferenceFailed, InferenceTerminated, ModelsError
from models.loading import load_pipeline
from models.pictures.decoding import DecodeLimits
from models.pipeline import (
    CropEmbedding,
    DetectedFaces,
    FacePipeline,
    ScoredImage,
)
from models.session import Cancellation
from streams.config.settings import Settings
from streams.errors import Busy, InferenceTimeout
from streams.inference.circuit import Circuit
from streams.inference.fair_queue import Turns
from streams.inference.result_batches import Bursts

T = TypeVar("T")

log = structlog.get_logger(__name__)

WATCH_INTERVAL_S = 0.05


def load_models(settings: Settings) -> FacePipeline:
    """The pipeline that the settings name, not yet warm. Raises ``ModelsError``."""
    return load_pipeline(
        detector=settings.face_detector,
        embedder=settings.face_embedder,
        assessor=settings.face_quality,
        model_path=settings.model_path,
        cache_dir=settings.model_cache,
        accepted_licences=settings.accept_model_licence,
        limits=DecodeLimits(
            max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels
        ),
    )


@dataclass(eq=False, slots=True)
class _Attempt:
    cancellation: Cancellation
    ended: asyncio.Future[Any] | None
    started: float | None = None
    timed_out: bool = False

    def end(self, result: Any, error: Exception | None) -> None:
        """Tell who waits for it, who may have gone; at most once."""
        # An error holds the frames that it came through, and so this attempt. Did this hold the
        # error in turn, both would stay, picture and all, until the next full collection.
        ended, self.ended = self.ended, None
        if ended is None or ended.done():
            return
        if error is None:
            ended.set_result(result)
        else:
            ended.set_exception(error)

    def give_up_waiting(self, waited_s: float) -> None:
        """Start no more; what has started ends by its own clock, so that it can be counted."""
        if self.started is None:
            self.cancellation.cancel()
            self.end(None, Busy(f"there was no result in {waited_s * 1000:.0f} ms; try again soon"))


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
        """``circuit`` is told of every attempt that says something about the models."""
        self._load = load
        self.threads = threads
        self._timeout_s = timeout_s
        self._circuit = circuit
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="inference")
        self._attempts: set[_Attempt] = set()
        self._turns: Turns[tuple[_Attempt, Callable[[Cancellation], Any], bool]] = Turns()
        self._bursts: Bursts | None = None
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
        """Attempts that are running or wait for a thread."""
        return len(self._attempts)

    @property
    def waiting(self) -> int:
        """Attempts that wait for a thread."""
        return len(self._turns)

    async def start(self) -> None:
        """Load and warm the models in a thread. Raises the loader's errors."""

        def load() -> FacePipeline:
            pipeline = self._load()
            pipeline.warm_up()
            return pipeline

        loop = asyncio.get_running_loop()
        self._bursts = Bursts(loop)
        self._pipeline = await loop.run_in_executor(self._executor, load)
        self._watchdog = asyncio.create_task(self._watch(self._bursts), name="inference-watchdog")

    async def watch(self) -> None:
        """Wait until the watchdog ends, which it must not before ``stop``. Raises its error."""
        assert self._watchdog is not None
        await asyncio.wait({self._watchdog})
        if not self._watchdog.cancelled():
            self._watchdog.result()

    async def stop(self) -> None:
        """Cancel what runs and let the threads end."""
        if self._watchdog is not None:
            self._watchdog.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watchdog
        if self._bursts is not None:
            self._bursts.close()
        for attempt in self._attempts:
            attempt.cancellation.cancel()
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._turns = Turns()
        for attempt in self._attempts:
            if attempt.started is None and attempt.ended is not None:
                attempt.ended.cancel()

    async def score(
        self,
        image: bytes,
        *,
        min_confidence: float,
        max_faces: int,
        patience_s: float | None = None,
    ) -> ScoredImage:
        """Score one picture, that waits for a thread ``patience_s`` at most, or for ever.

        Raises ``Busy`` when it has waited in vain, ``InferenceTimeout``, or what
        ``FacePipeline.score`` raises; anything else than a ``ModelsError`` from there becomes
        ``InferenceFailed``.
        """
        pipeline = self.pipeline
        return await self._run(
            lambda cancellation: pipeline.score(
                image,
                min_confidence=min_confidence,
                max_faces=max_faces,
                cancellation=cancellation,
            ),
            hurry=patience_s is not None,  # somebody waits for it
            patience_s=patience_s,
        )

    async def detect(
        self,
        image: bytes,
        *,
        min_confidence: float,
        counts: bool = True,
        patience_s: float | None = None,
    ) -> DetectedFaces:
        """All faces of one picture, which may be none; ``counts``: for the circuit.

        Raises ``Busy``, ``InferenceTimeout``, or what ``FacePipeline.detect`` raises.
        """
        pipeline = self.pipeline
        return await self._run(
            lambda cancellation: pipeline.detect(
                image, min_confidence=min_confidence, cancellation=cancellation
            ),
            counts=counts,
            patience_s=patience_s,
        )

    async def embed_aligned(
        self, image: bytes, *, counts: bool = True, patience_s: float | None = None
    ) -> CropEmbedding:
        """The embedding of an aligned crop. As ``detect``."""
        pipeline = self.pipeline
        return await self._run(
            lambda cancellation: pipeline.embed_aligned(image, cancellation=cancellation),
            counts=counts,
            patience_s=patience_s,
        )

    async def probe(self) -> None:
        """Score the built-in picture, under the same deadline. Raises as ``score`` does."""
        pipeline = self.pipeline
        await self._run(pipeline.check)

    async def _run(
        self,
        work: Callable[[Cancellation], T],
        *,
        counts: bool = True,
        hurry: bool = True,
        patience_s: float | None = None,
    ) -> T:
        """Do ``work`` in a thread under the deadline, and tell the circuit how it went.

        A picture that is refused says nothing about the models, and is not told. In a ``hurry`` it
        has every other turn, and the result comes at once, not in a burst.
        """
        if self._circuit is None or not counts:
            return await self._attempt(work, hurry=hurry, patience_s=patience_s)
        mark = self._circuit.begin()
        try:
            result = await self._attempt(work, hurry=hurry, patience_s=patience_s)
        except (InferenceFailed, InferenceTimeout):
            self._circuit.record(mark, succeeded=False)
            raise
        self._circuit.record(mark, succeeded=True)
        return result

    async def _attempt(
        self, work: Callable[[Cancellation], T], *, hurry: bool, patience_s: float | None
    ) -> T:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[T] = loop.create_future()
        attempt = _Attempt(Cancellation(), ended)
        self._turns.put((attempt, work, hurry), urgent=hurry)
        try:
            self._executor.submit(self._take_turn)
        except RuntimeError:  # the threads have been told to end
            self._turns = Turns()
            raise InferenceTerminated from None
        if patience_s is not None:
            loop.call_later(patience_s, attempt.give_up_waiting, patience_s)
        self._attempts.add(attempt)
        try:
            return await ended
        except InferenceTerminated:
            if attempt.timed_out:
                raise InferenceTimeout(self._timeout_s) from None
            raise
        except asyncio.CancelledError:
            attempt.cancellation.cancel()
            raise
        finally:
            self._attempts.discard(attempt)
            del ended  # as in `_Attempt.end`

    def _take_turn(self) -> None:
        assert self._bursts is not None
        attempt, work, hurry = self._turns.take()
        attempt.started = time.monotonic()
        try:
            end = partial(attempt.end, work(attempt.cancellation), None)
        except ModelsError as error:
            end, hurry = partial(attempt.end, None, error), True
        except BaseException as error:
            # A bug that this picture brings out. Raised as it is it would stop the worker, and
            # then the next one that is given the picture, and so on.
            log.exception("scoring raised what it should not")
            failure = InferenceFailed("pipeline", f"{type(error).__name__}: {error}")
            end, hurry = partial(attempt.end, None, failure), True
        self._bursts.bring(end, together=0 if hurry else self.waiting)
        del end  # as in `_Attempt.end`

    async def _watch(self, bursts: Bursts) -> None:
        while True:
            await asyncio.sleep(WATCH_INTERVAL_S)
            bursts.deliver_late()
            now = time.monotonic()
            for attempt in self._attempts:
                late = attempt.started is not None and now - attempt.started > self._timeout_s
                if late and not attempt.timed_out:
                    attempt.timed_out = True
                    attempt.cancellation.cancel()

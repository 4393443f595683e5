"""Builds the parts of a worker process, starts them and stops them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine

import structlog

from models.errors import ModelsError
from streams.config.settings import Settings
from streams.engine.assignment import Assignment
from streams.engine.in_flight import InFlightWindow
from streams.engine.interface import Engine
from streams.engine.publishing import Publisher
from streams.errors import ConfigurationError
from streams.index.errors import IndexBusy, IndexMismatch, IndexRejected, IndexUnavailable
from streams.index.index_config import index_config
from streams.index.model_contract import contract_of
from streams.index.vector_index import VectorIndex
from streams.inference.circuit import Circuit, CircuitProbe
from streams.inference.model_loading import load_models
from streams.inference.model_probe import ModelProbe
from streams.inference.pool import InferencePool
from streams.kafka.answer_follower import AnswerFollower
from streams.kafka.topics import largest_message
from streams.messages import Incoming
from streams.pictures.picture_store import PictureStore
from streams.process.exits import die
from streams.process.heap import keep_trimming, prepare_heap, settle_process
from streams.telemetry.http_metrics import HttpMetrics
from streams.telemetry.lag_and_stalls import ProgressMonitor
from streams.telemetry.metrics import Metrics
from streams.telemetry.worker_state import WorkerState

log = structlog.get_logger(__name__)

#: Most events in a window, for each thread that scores.
EVENTS_PER_THREAD = 64

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 10.0


class Runtime:
    """The parts that agents, web pages and the app share in one worker process.

    Building it costs little: models and index load after ``prepare``, which commands never call.
    """

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self.settings = settings
        self._engine = engine
        self.metrics = Metrics()
        self.http_metrics = HttpMetrics(self.metrics.registry)
        self.assignment = Assignment(engine, self.metrics.rebalance)
        self.publisher = Publisher(
            engine,
            self._note_publish_retry,
            is_leaving=self.assignment.is_leaving,
            max_bytes=lambda topic: largest_message(settings, topic),
            on_timeout=lambda: self.metrics.timeout("publish"),
        )
        self.progress = ProgressMonitor(engine, self.assignment.windows, settings.stalled_after_s)
        self.circuit = Circuit(
            threshold=settings.simulated_ml_threshold,
            on_change=self.metrics.circuit,
        )
        attempt_s = settings.ml_service_timeout / 1000
        self.pool = InferencePool(
            lambda: load_models(settings),
            threads=settings.threads,
            timeout_s=attempt_s,
            circuit=self.circuit,
        )
        self._circuit_probe = CircuitProbe(
            self.circuit, self.pool.probe, interval_s=settings.circuit_probe_s
        )
        self.probe = ModelProbe(self.pool, timeout_s=attempt_s)
        self.images = PictureStore(
            settings.image_uri_allow, max_bytes=settings.max_image_bytes, timeout_s=attempt_s
        )
        self.answers = AnswerFollower(settings)
        self._index: VectorIndex | None = None
        self._models_ready = asyncio.Event()
        self._index_ready = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.metrics.registry.register(
            WorkerState(
                self.assignment,
                self.pool,
                self.progress,
                self.circuit,
                index_is_open=lambda: self.index_is_open,
            )
        )

    def window(
        self, topic: str, handle: Callable[[Incoming], Awaitable[None]], *, concurrency: int
    ) -> InFlightWindow:
        """Add an in-flight window for one topic, bounded by the settings."""
        return self.assignment.window(
            topic,
            handle,
            concurrency=concurrency,
            max_events=EVENTS_PER_THREAD * self.settings.threads,
            max_bytes=self.settings.max_in_flight_mb * 1024 * 1024,
            drain_timeout_s=self.settings.drain_timeout_s,
        )

    def announce(self) -> None:
        """Log the settings, and warn of those that are risky."""
        log.info("starting", **self.settings.masked())
        self._warn_of_settings()

    def prepare(self) -> None:
        """Start loading models and index, and the tasks that watch over the worker.

        Loading continues while the worker joins its group; agents wait for the parts they need.
        """
        self._tasks = [
            self._start(self._load_models(), "load-models"),
            self._start(self._open_index(), "open-index"),
            self._start(self._watch_progress(), "watch-progress"),
            self._start(self._circuit_probe.run(), "circuit-probe"),
            self._start(self.metrics.watch_event_loop(), "watch-event-loop"),
            self._start(keep_trimming(), "trim-heap"),
        ]

    def _warn_of_settings(self) -> None:
        settings = self.settings
        if settings.web_host not in LOOPBACK and settings.api_token is None:
            log.warning(
                "the web port is open to the network without a token; set API_TOKEN",
                web_host=settings.web_host,
            )
        if not settings.fallback_to_simulated and settings.real_ml_rollout_percent < 100:
            log.warning(
                "users outside the rollout get no answer: their events stay in the fallback topic",
                real_ml_rollout_percent=settings.real_ml_rollout_percent,
                fallback_to_simulated=False,
            )

    def _start(self, work: Coroutine[object, object, None], name: str) -> asyncio.Task[None]:
        """Start a task that the worker needs: if it fails, the worker stops."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._stop_if_failed)
        return task

    def _stop_if_failed(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("task failed; stopping the worker", task=task.get_name(), exc_info=error)
            self._crashing = asyncio.ensure_future(self._engine.crash(error))

    async def _watch_progress(self) -> None:
        await self.assignment.arrived.wait()
        await self.progress.run()

    def _note_publish_retry(self) -> None:
        self.metrics.retry("publish")
        self.assignment.note_waiting()

    async def _load_models(self) -> None:
        started = time.monotonic()
        prepare_heap()
        try:
            await self.pool.start()
        except ModelsError as error:
            die(error)
        pipeline = self.pool.pipeline
        log.info(
            "models are warm",
            detector=pipeline.detector.name,
            embedder=pipeline.embedder.name,
            dimension=pipeline.embedder.dimension,
            seconds=round(time.monotonic() - started, 3),
        )
        self.metrics.models(pipeline)
        settle_process()
        self._models_ready.set()
        await self.pool.watch()

    async def _open_index(self) -> None:
        await self._models_ready.wait()
        models = self.pool.pipeline
        config = index_config(self.settings, contract_of(models.detector, models.embedder))
        wait = FIRST_WAIT_S
        while self._index is None:
            try:
                self._index = await VectorIndex.open(config)
            except (IndexBusy, IndexMismatch, IndexRejected, ConfigurationError) as error:
                die(error)
            except IndexUnavailable as error:
                log.warning("waiting for the index", reason=str(error), next_try_s=wait)
                await asyncio.sleep(wait)
                wait = min(wait * 2, LONGEST_WAIT_S)
        self._index_ready.set()
        shown = self.settings.masked()
        where = shown["QDRANT_URL"] if self.settings.qdrant_url else shown["QDRANT_PATH"]
        log.info("index is open", where=where)
        settle_process()

    async def models_ready(self) -> None:
        """Return when the models are warm."""
        await self._models_ready.wait()

    async def index(self) -> VectorIndex:
        """Return the index once it is open."""
        await self._index_ready.wait()
        if self._index is None:
            raise RuntimeError("the index was closed")
        return self._index

    @property
    def index_is_open(self) -> bool:
        """Whether the index can be used now."""
        return self._index is not None

    async def begin_stop(self) -> None:
        """Tell those who wait for an answer over HTTP that this worker is stopping."""
        await self.answers.close()

    async def close(self) -> None:
        """Free models and index; after the last ack."""
        for task in self._tasks:
            task.cancel()
        await self.pool.stop()
        await self.images.close()
        if self._index is not None:
            await self._index.close()
            self._index = None

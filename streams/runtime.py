"""What a worker process holds besides Kafka: models, picture store, index, windows."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog

from models.errors import ModelsError
from streams.config.settings import Settings
from streams.engine.in_flight import InFlightWindow
from streams.engine.publishing import Publisher
from streams.errors import ConfigurationError, StartupError
from streams.index.indexer import contract_of, open_index
from streams.index.vector_index import (
    IndexBusy,
    IndexMismatch,
    IndexRejected,
    IndexUnavailable,
    VectorIndex,
)
from streams.inference.circuit import Circuit, CircuitProbe
from streams.inference.model_probe import ModelProbe
from streams.inference.pool import InferencePool, load_models
from streams.kafka.answer_follower import AnswerFollower
from streams.kafka.topics import largest_message
from streams.local.embedded_broker import port_is_taken
from streams.pictures.picture_store import ImageStore
from streams.process.exits import die
from streams.process.heap import keep_trimming, prepare_heap, settle_heap
from streams.telemetry.http_metrics import HttpMetrics
from streams.telemetry.lag_and_stalls import ProgressWatch
from streams.telemetry.metrics import Metrics
from streams.telemetry.worker_state import WorkerState

log = structlog.get_logger(__name__)

#: Objects made and not freed before the garbage collector looks at them; Python's own: 700.
GC_THRESHOLD = 3_000

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Runtime:
    """The parts that agents, web pages and the app share in one worker process.

    Built with the app and costs nothing until ``prepare``; commands never prepare it.
    """

    def __init__(self, app: Any, settings: Settings) -> None:
        self._app = app
        self.settings = settings
        self.windows: list[InFlightWindow] = []
        self.metrics = Metrics()
        self.http_metrics = HttpMetrics(self.metrics.registry)
        self.publisher = Publisher(
            app,
            self._note_waiting,
            is_leaving=self.is_leaving,
            max_bytes=lambda topic: largest_message(settings, topic),
            on_timeout=lambda: self.metrics.timeout("publish"),
        )
        self._draining = False
        self.progress = ProgressWatch(app, self.windows, settings.stalled_after_s)
        self.partitions = 0
        self._assigned = asyncio.Event()
        self.started = time.monotonic()
        self.circuit = Circuit(
            threshold=settings.simulated_ml_threshold,
            window=settings.circuit_window,
            minimum=settings.circuit_min_attempts,
            on_change=self.metrics.circuit,
        )
        self.pool = InferencePool(
            lambda: load_models(settings),
            threads=settings.threads,
            timeout_s=settings.ml_service_timeout / 1000,
            circuit=self.circuit,
        )
        self._circuit_probe = CircuitProbe(
            self.circuit, self.pool.probe, interval_s=settings.circuit_probe_s
        )
        self.images = ImageStore(
            settings.image_uri_allow,
            max_bytes=settings.max_image_bytes,
            timeout_s=settings.ml_service_timeout / 1000,
        )
        self.probe = ModelProbe(self.pool, timeout_s=settings.ml_service_timeout / 1000)
        self.answers = AnswerFollower(settings)
        self._index: VectorIndex | None = None
        self._models_ready = asyncio.Event()
        self._index_ready = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.metrics.registry.register(
            WorkerState(
                self.windows,
                self.pool,
                self.progress,
                self.circuit,
                index_is_open=lambda: self.index_is_open,
                partitions=lambda: self.partitions,
            )
        )

    def window(
        self, topic: str, handle: Callable[[Any], Awaitable[None]], *, concurrency: int
    ) -> InFlightWindow:
        """A new in-flight window for one topic, bounded as the settings say."""
        window = InFlightWindow(
            self._app,
            topic,
            handle,
            concurrency=concurrency,
            max_events=self.settings.in_flight,
            max_bytes=self.settings.max_in_flight_mb * 1024 * 1024,
            drain_timeout_s=self.settings.drain_timeout_s,
        )
        self.windows.append(window)
        return window

    async def prepare(self) -> None:
        """Check what can be checked at once, and start loading models and index.

        Raises ``StartupError``. Loading goes on while the worker joins its group; agents wait for
        what they need.
        """
        settings = self.settings
        log.info("starting", **settings.masked())
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
        self._check_ports()
        self._tasks = [
            self._start(self._load_models(), "load-models"),
            self._start(self._open_index(), "open-index"),
            self._start(self._watch_progress(), "watch-progress"),
            self._start(self._circuit_probe.run(), "circuit-probe"),
            self._start(self.metrics.watch_event_loop(), "watch-event-loop"),
            self._start(keep_trimming(), "trim-heap"),
        ]

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """A task that the worker cannot do without: should it fail, the worker stops."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._must_not_fail)
        return task

    def _must_not_fail(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("failed; stopping the worker", task=task.get_name(), exc_info=error)
            self._crashing = asyncio.ensure_future(self._app.crash(error))

    def _check_ports(self) -> None:
        if not self._app.conf.web_enabled:
            return
        host = self.settings.web_host
        for port in (self._app.conf.web_port, *self.settings.legacy_ports):
            if port_is_taken(host, port):
                name = "LEGACY_PORTS" if port in self.settings.legacy_ports else "PORT"
                raise StartupError(
                    f"the web port {host}:{port} is taken: stop what listens there, or choose "
                    f"another by {name}" + (" (or --web-port)" if name == "PORT" else "")
                )

    async def _watch_progress(self) -> None:
        await self._assigned.wait()
        await self.progress.run()

    def _note_waiting(self) -> None:
        """Publishing waits for the broker and will be tried again."""
        self.metrics.retry("publish")
        for window in self.windows:
            window.note_waiting()

    async def _load_models(self) -> None:
        started = time.monotonic()
        prepare_heap()
        try:
            await self.pool.start()
        except ModelsError as error:
            die(error)
        log.info(
            "models are warm",
            detector=self.pool.pipeline.detector.name,
            embedder=self.pool.pipeline.embedder.name,
            dimension=self.pool.pipeline.embedder.dimension,
            seconds=round(time.monotonic() - started, 3),
        )
        self.metrics.models(self.pool.pipeline)
        _settle()
        self._models_ready.set()
        await self.pool.watch()

    async def _open_index(self) -> None:
        await self._models_ready.wait()
        settings = self.settings
        contract = contract_of(self.pool.pipeline)
        wait = 0.5
        while True:
            try:
                self._index = await open_index(settings, contract)
            except (IndexBusy, IndexMismatch, IndexRejected, ConfigurationError) as error:
                die(error)
            except IndexUnavailable as error:
                log.warning("waiting for the index", reason=str(error), next_try_s=wait)
                await asyncio.sleep(wait)
                wait = min(wait * 2, 10)
            else:
                self._index_ready.set()
                shown = settings.masked()
                where = shown["QDRANT_URL"] if settings.qdrant_url else shown["QDRANT_PATH"]
                log.info("index is open", where=where)
                _settle()
                return

    async def models_ready(self) -> None:
        """Return when the models are warm."""
        await self._models_ready.wait()

    async def index(self) -> VectorIndex:
        """The open index; waits for it."""
        await self._index_ready.wait()
        if self._index is None:
            raise RuntimeError("the index was closed")
        return self._index

    @property
    def assigned(self) -> bool:
        """Whether this worker has been given its partitions (which may be none)."""
        return self._assigned.is_set()

    @property
    def index_is_open(self) -> bool:
        """Whether the index can be used now."""
        return self._index is not None

    def begin_drain(self) -> None:
        """A rebalance or stop begins."""
        self._draining = True
        for window in self.windows:
            window.begin_drain()

    def begin_generation(self, partitions: int) -> None:
        """A new assignment of ``partitions`` partitions has arrived.

        What is left of earlier ones is others' now; its own events come in after ``take_in``.
        """
        self._draining = True
        self.partitions = partitions
        self.metrics.rebalance()
        self._assigned.set()
        for window in self.windows:
            window.begin_generation()
            window.begin_drain()

    def take_in(self) -> None:
        """Reading goes on from the committed offsets: what comes now has nothing missing before."""
        self._draining = False
        for window in self.windows:
            window.begin_generation()

    def is_leaving(self) -> bool:
        """Whether work should be left for the next owner."""
        # Not Faust's own `rebalancing`: it stays on for a while after the new assignment began.
        return self._draining or bool(self._app.should_stop)

    async def close(self) -> None:
        """Free models and index; after the last ack."""
        for task in self._tasks:
            task.cancel()
        await self.pool.stop()
        await self.images.close()
        if self._index is not None:
            await self._index.close()
            self._index = None


def _settle() -> None:
    """Prepare the process for its work, once everything is loaded.

    What start has made for good leaves the garbage collector's sight: a full collection looks at
    everything else, 0.1 s, every ten seconds under load, in which the event loop stands still
    (measured). It also looks less often, every 1.5 s under load: what an event needs is freed
    without it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    settle_heap()

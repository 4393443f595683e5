"""The counters and histograms of a worker. Meanings: docs/metrics.md.

Names and units follow https://prometheus.io/docs/practices/naming/. The child of every label value
is created at start, so that events need no look-up by name and a counter starts at 0: Prometheus
then sees its first increase.
"""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Literal, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.exposition import choose_encoder

from models.pipeline import FacePipeline
from schemas.fallback import FallbackReason

Operation = Literal["real_ml", "shadow", "simulated", "index"]
Outcome = Literal["success", "rejected", "failure"]
Tried = Literal["real_ml", "fetch", "publish", "index"]
Stage = Literal[
    "queued", "fetch", "decode", "detect", "align", "embed", "assess", "publish", "total"
]

#: States of the circuit breaker (``inference/circuit.py``).
CIRCUIT_STATES = ("closed", "open", "half_open")

#: Reasons that are failures of the service. The others come from the picture, sender or setting.
FAILURES = frozenset(
    {
        FallbackReason.INFERENCE_FAILED,
        FallbackReason.INFERENCE_TIMEOUT,
        FallbackReason.IMAGE_UNAVAILABLE,
        FallbackReason.CIRCUIT_OPEN,
    }
)

#: Seconds: from a fraction of a millisecond (align) to hours (queued, behind a backlog).
STAGE_BUCKETS = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1, 2.5, 5, 10, 30, 60, 300, 1800),
)
INDEX_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
LOOP_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)

LOOP_SAMPLE_S = 0.25


def outcome_of(reason: FallbackReason) -> Outcome:
    """Classify an attempt at real scores that ended with this reason."""
    return "failure" if reason in FAILURES else "rejected"


class Metrics:
    """Counts and times a worker's operations, in its own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self._create_counters()
        self._create_circuit_metrics()
        self._create_histograms()
        self._models = Info(
            "facestream_model", "The models in use, once warm.", registry=self.registry
        )
        build = Info(
            "facestream_build", "Version of facestream and Python.", registry=self.registry
        )
        build.info({"version": _own_version(), "python": platform.python_version()})

    def _create_counters(self) -> None:
        operations = self._counter(
            "operations", "Events that an operation has finished with.", "operation", "outcome"
        )
        self._operations = {
            (operation, outcome): operations.labels(operation, outcome)
            for operation in get_args(Operation)
            for outcome in get_args(Outcome)
        }
        fallbacks = self._counter("fallbacks", "Events sent to simulated-fallback.", "reason")
        self._fallbacks = {reason: fallbacks.labels(reason.value) for reason in FallbackReason}
        retries = self._counter("retries", "Attempts made again after a failure.", "operation")
        self._retries = {tried: retries.labels(tried) for tried in get_args(Tried)}
        timeouts = self._counter("timeouts", "Attempts that took too long.", "operation")
        self._timeouts = {tried: timeouts.labels(tried) for tried in get_args(Tried)}
        self._rebalances = self._counter("rebalances", "Assignments of partitions received.")

    def _create_circuit_metrics(self) -> None:
        changes = self._counter(
            "circuit_changes", "Changes of the circuit breaker's state, by new state.", "state"
        )
        self._circuit_changes = {state: changes.labels(state) for state in CIRCUIT_STATES}
        circuit = Gauge(
            "facestream_circuit_state",
            "1 for the state that the circuit breaker is in.",
            ["state"],
            registry=self.registry,
        )
        self._circuit = {state: circuit.labels(state) for state in CIRCUIT_STATES}
        self._circuit["closed"].set(1)

    def _create_histograms(self) -> None:
        stages = Histogram(
            "facestream_stage_duration_seconds",
            "Time that an event spent in a stage.",
            ["stage"],
            buckets=STAGE_BUCKETS,
            registry=self.registry,
        )
        self._stages = {stage: stages.labels(stage) for stage in get_args(Stage)}
        self._index_writes = Histogram(
            "facestream_index_write_duration_seconds",
            "Time of one batch write to the index.",
            buckets=INDEX_BUCKETS,
            registry=self.registry,
        )
        self._loop_lag = Histogram(
            "facestream_event_loop_lag_seconds",
            "Delay of a timer on the event loop.",
            buckets=LOOP_BUCKETS,
            registry=self.registry,
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"facestream_{name}", text, labels, registry=self.registry)

    def operation(self, operation: Operation, outcome: Outcome) -> None:
        """Count an event that an operation has finished with."""
        self._operations[operation, outcome].inc()

    def fallback(self, reason: FallbackReason) -> None:
        """Count an event that goes to the fallback topic."""
        self._fallbacks[reason].inc()

    def retry(self, tried: Tried) -> None:
        """Count an attempt that is made again."""
        self._retries[tried].inc()

    def timeout(self, tried: Tried) -> None:
        """Count an attempt that took too long."""
        self._timeouts[tried].inc()

    def circuit(self, state: str) -> None:
        """Record that the circuit has changed its state."""
        for one, child in self._circuit.items():
            child.set(one == state)
        self._circuit_changes[state].inc()

    def rebalance(self) -> None:
        """Count an assignment that has arrived."""
        self._rebalances.inc()

    def stage(self, stage: Stage, seconds: float) -> None:
        """Observe an event's time in a stage; negative times (clocks that disagree) count as 0."""
        self._stages[stage].observe(max(0.0, seconds))

    def stages_ms(self, milliseconds: Mapping[str, float]) -> None:
        """Observe the stages of a scored picture by name, in milliseconds."""
        for stage, spent in milliseconds.items():
            self._stages[stage].observe(spent / 1000)

    def index_write(self, seconds: float) -> None:
        """Observe the time of one write to the index."""
        self._index_writes.observe(seconds)

    def models(self, pipeline: FacePipeline) -> None:
        """Publish the names and hashes of the warm models."""
        detector, embedder, assessor = pipeline.detector, pipeline.embedder, pipeline.assessor
        self._models.info(
            {
                "detector": detector.name,
                "detector_sha256": detector.sha256,
                "embedder": embedder.name,
                "embedder_sha256": embedder.sha256,
                "embedding_size": str(embedder.dimension),
                "assessor": "" if assessor is None else assessor.name,
                "assessor_sha256": "" if assessor is None else assessor.sha256,
            }
        )

    async def watch_event_loop(self) -> None:
        """Measure the event loop's lag until cancelled."""
        while True:
            asked = time.perf_counter() + LOOP_SAMPLE_S
            await asyncio.sleep(LOOP_SAMPLE_S)
            self._loop_lag.observe(max(0.0, time.perf_counter() - asked))

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """Return all metrics in a format that ``Accept`` allows, and the content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type


def _own_version() -> str:
    try:
        return version("facestream")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "unknown"

"""A registry with every metric that a worker exposes, with some state behind the gauges."""

from __future__ import annotations

from models.pipeline import FacePipeline
from streams.engine.assignment import Assignment
from streams.inference.circuit import Circuit
from streams.inference.pool import InferencePool
from streams.telemetry.http_metrics import HttpMetrics
from streams.telemetry.lag_and_stalls import ProgressMonitor
from streams.telemetry.metrics import Metrics
from streams.telemetry.worker_state import WorkerState
from tests.fakes import fake_engine


def registry_of_a_worker() -> Metrics:
    """Return a registry with every metric of a worker."""
    metrics = Metrics()
    HttpMetrics(metrics.registry)
    assignment = Assignment(fake_engine())
    progress = ProgressMonitor(fake_engine(), assignment.windows, 60)
    progress.lag["image-submitted"] = 7
    circuit = Circuit(threshold=0.7, window=10, minimum=5)
    pool = InferencePool(_no_models, threads=3, timeout_s=1, circuit=circuit)

    async def handle(_: object) -> None:
        raise AssertionError("no event is handled here")

    window = assignment.window(
        "events", handle, concurrency=1, max_events=4, max_bytes=100, drain_timeout_s=1
    )
    window.state.held, window.state.held_bytes, window.state.full = 2, 90, True
    assignment.partitions = 5
    metrics.registry.register(
        WorkerState(assignment, pool, progress, circuit, index_is_open=lambda: True)
    )
    return metrics


def _no_models() -> FacePipeline:
    raise AssertionError("no models are loaded here")

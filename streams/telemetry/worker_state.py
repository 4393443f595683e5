"""The current state of a worker as gauges, read only when Prometheus asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streams.engine.assignment import Assignment
from streams.telemetry.lag_and_stalls import ProgressMonitor


class PoolGauges(Protocol):
    """The gauges of the inference pool."""

    @property
    def threads(self) -> int:
        """Threads that score pictures."""

    @property
    def waiting(self) -> int:
        """Attempts that wait for a thread."""

    @property
    def pending(self) -> int:
        """Attempts that run or wait."""

    @property
    def ready(self) -> bool:
        """Whether the models are warm."""


class SuccessShare(Protocol):
    """The gauge of the circuit breaker."""

    @property
    def success_share(self) -> float:
        """Share of the recent attempts that succeeded."""


class WorkerState(Collector):
    """The gauges of one worker's windows, pool, lag, circuit and index."""

    def __init__(
        self,
        assignment: Assignment,
        pool: PoolGauges,
        progress: ProgressMonitor,
        circuit: SuccessShare,
        *,
        index_is_open: Callable[[], bool],
    ) -> None:
        self._assignment = assignment
        self._pool = pool
        self._progress = progress
        self._circuit = circuit
        self._index_is_open = index_is_open

    def collect(self) -> Iterable[Metric]:
        """Yield the current gauges."""
        yield from self._of_windows()
        lag = _gauge("consumer_lag_events", "Events behind the last stable offset.", "topic")
        for topic, behind in self._progress.lag.items():
            lag.add_metric([topic], behind)
        yield lag
        pool = self._pool
        yield _value("inference_threads", "Threads that score pictures.", pool.threads)
        yield _value("inference_queue", "Pictures that wait for a thread.", pool.waiting)
        yield _value("inference_running", "Pictures being scored.", pool.pending - pool.waiting)
        yield _value("models_ready", "1 when the models are warm.", pool.ready)
        yield _value("index_open", "1 when the index is open.", self._index_is_open())
        yield _value(
            "broker_reachable", "1 when the broker answered last.", self._progress.broker_answers
        )
        yield _value(
            "assigned_partitions",
            "Partitions assigned to this worker.",
            self._assignment.partitions,
        )
        yield _value(
            "circuit_success_ratio",
            "Share of the recent attempts at real scoring that succeeded.",
            self._circuit.success_share,
        )

    def _of_windows(self) -> Iterable[Metric]:
        events = _gauge("in_flight_events", "Events held, read and not yet acknowledged.", "topic")
        size = _gauge("in_flight_bytes", "Bytes of the events held.", "topic")
        full = _gauge("in_flight_full", "1 while the window is full: back-pressure.", "topic")
        stalled = _gauge("stalled", "1 when there is work and no event finishes.", "topic")
        stalls = self._progress.stalled()
        for window in self._assignment.windows:
            events.add_metric([window.topic], window.state.held)
            size.add_metric([window.topic], window.state.held_bytes)
            full.add_metric([window.topic], window.state.full)
            stalled.add_metric([window.topic], window.topic in stalls)
        return (events, size, full, stalled)


def _gauge(name: str, text: str, label: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"facestream_{name}", text, labels=[label])


def _value(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"facestream_{name}", text, value=value)

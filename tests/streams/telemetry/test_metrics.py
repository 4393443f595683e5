"""The metrics: what is counted, how it is named, and what it costs."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import replace
from typing import get_args
from unittest.mock import Mock

import pytest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from models.manifest import describe
from models.pipeline import FacePipeline
from schemas.fallback import FallbackReason
from streams.engine.assignment import Assignment
from streams.inference.circuit import Circuit, CircuitState
from streams.inference.pool import InferencePool
from streams.telemetry.http_metrics import HttpMetrics
from streams.telemetry.lag_and_stalls import ProgressMonitor
from streams.telemetry.metrics import (
    FAILURES,
    Metrics,
    Operation,
    Outcome,
    Stage,
    Tried,
    outcome_of,
)
from streams.telemetry.worker_state import WorkerState
from tests.fakes import fake_engine
from tests.metrics_page import Series, series_of

#: Seconds of one event's metrics; the budget, and generous for a busy machine.
BUDGET_S = 50e-6


def now(metrics: Metrics) -> Series:
    return series_of(metrics.registry.collect())


def test_every_counter_is_there_before_anything_has_happened() -> None:
    """A series that appears with 1 has no increase that an alert could see."""
    series = now(Metrics())
    for reason in FallbackReason:
        assert 0 == series["facestream_fallbacks_total", reason.value]
    for operation in get_args(Operation):
        for outcome in get_args(Outcome):
            assert 0 == series["facestream_operations_total", operation, outcome]
    for tried in get_args(Tried):
        assert 0 == series["facestream_retries_total", tried]
        assert 0 == series["facestream_timeouts_total", tried]
    for stage in get_args(Stage):
        assert 0 == series["facestream_stage_duration_seconds_count", stage]
    assert 1 == series["facestream_circuit_state", "closed"]


def test_what_happens_is_counted_under_its_own_name() -> None:
    """Once each, and nothing else moves."""
    metrics = Metrics()
    before = now(metrics)
    metrics.operation("real_ml", "rejected")
    metrics.fallback(FallbackReason.NO_FACE)
    metrics.retry("fetch")
    metrics.timeout("publish")
    metrics.rebalance()
    metrics.circuit(CircuitState.OPEN)
    metrics.stage("publish", 0.25)
    metrics.stages_ms({"decode": 12.0})
    metrics.index_write(0.5)
    moved = {
        key: value
        for key, value in now(metrics).items()
        if key[0].startswith("facestream_")
        and not key[0].endswith(("_bucket", "_created"))
        and value != before.get(key, 0)
    }
    assert {
        ("facestream_operations_total", "real_ml", "rejected"): 1,
        ("facestream_fallbacks_total", "no_face"): 1,
        ("facestream_retries_total", "fetch"): 1,
        ("facestream_timeouts_total", "publish"): 1,
        ("facestream_rebalances_total",): 1,
        ("facestream_circuit_changes_total", "open"): 1,
        ("facestream_circuit_state", "open"): 1,
        ("facestream_circuit_state", "closed"): 0,
        ("facestream_stage_duration_seconds_count", "publish"): 1,
        ("facestream_stage_duration_seconds_sum", "publish"): 0.25,
        ("facestream_stage_duration_seconds_count", "decode"): 1,
        ("facestream_stage_duration_seconds_sum", "decode"): 0.012,
        ("facestream_index_write_duration_seconds_count",): 1,
        ("facestream_index_write_duration_seconds_sum",): 0.5,
    } == moved


def test_clocks_that_disagree_do_not_make_a_negative_time() -> None:
    """A histogram's sum must not fall."""
    metrics = Metrics()
    metrics.stage("queued", -3)
    assert 0 == now(metrics)["facestream_stage_duration_seconds_sum", "queued"]


def test_only_our_own_failures_count_as_failures() -> None:
    """A bad picture is no reason to wake anybody."""
    assert {reason for reason in FallbackReason if outcome_of(reason) == "failure"} == FAILURES
    assert "rejected" == outcome_of(FallbackReason.NO_FACE)
    assert "failure" == outcome_of(FallbackReason.INFERENCE_TIMEOUT)


def test_the_models_are_named(pipeline: FacePipeline) -> None:
    """With the hashes of their weights."""
    metrics = Metrics()
    metrics.models(pipeline)
    family = next(one for one in metrics.registry.collect() if one.name == "facestream_model")
    assert {
        "detector": "yunet",
        "detector_sha256": pipeline.detector.sha256,
        "embedder": "sface",
        "embedder_sha256": pipeline.embedder.sha256,
        "embedding_size": "128",
        "assessor": "",
        "assessor_sha256": "",
    } == family.samples[0].labels


def test_a_quality_model_is_named_too(pipeline: FacePipeline) -> None:
    """Where one is chosen."""
    metrics = Metrics()
    metrics.models(replace(pipeline, quality_assessor=Mock(description=describe("ediffiqa"))))
    family = next(one for one in metrics.registry.collect() if one.name == "facestream_model")
    labels = family.samples[0].labels
    assert ("ediffiqa", describe("ediffiqa").sha256) == (
        labels["assessor"],
        labels["assessor_sha256"],
    )


async def test_a_busy_event_loop_shows() -> None:
    """A handler that blocks for 50 ms is seen as lag of about that."""
    metrics = Metrics()
    watch = asyncio.create_task(metrics.watch_event_loop())
    async with asyncio.timeout(20):
        while now(metrics)["facestream_event_loop_lag_seconds_sum",] < 0.03:
            await asyncio.sleep(0)
            time.sleep(0.05)  # noqa: ASYNC251 - to block the loop is the point
    watch.cancel()


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4"),
        ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text"),
    ],
)
def test_the_page_comes_in_the_format_that_was_asked_for(accept: str, content_type: str) -> None:
    """Prometheus asks for OpenMetrics, a browser gets text."""
    body, found = Metrics().exposition(accept)
    assert found.startswith(content_type)
    assert b"facestream_operations_total" in body


def registry_of_a_worker() -> Metrics:
    """Everything that a worker's page holds."""
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
    raise AssertionError("not started")


def test_the_state_is_read_when_it_is_asked_for() -> None:
    """Windows, lag, pool and index, as they are."""
    series = now(registry_of_a_worker())
    assert {
        ("facestream_in_flight_events", "events"): 2,
        ("facestream_in_flight_bytes", "events"): 90,
        ("facestream_in_flight_full", "events"): 1,
        ("facestream_stalled", "events"): 0,
        ("facestream_consumer_lag_events", "image-submitted"): 7,
        ("facestream_inference_threads",): 3,
        ("facestream_inference_queue",): 0,
        ("facestream_inference_running",): 0,
        ("facestream_models_ready",): 0,
        ("facestream_index_open",): 1,
        ("facestream_broker_reachable",): 0,
        ("facestream_assigned_partitions",): 5,
        ("facestream_circuit_success_ratio",): 1,
    }.items() <= series.items()


def lint(family: Metric) -> list[str]:
    """What `promtool check metrics` would find, by the rules of its documentation."""
    name, found = family.name, []
    if not re.fullmatch(r"facestream_[a-z]+(_[a-z]+)*", name):
        found.append("facestream_ and words in lower case")
    if not family.documentation.endswith("."):
        found.append("help, a sentence")
    if re.search(r"_(counter|gauge|histogram|summary|info|metric)(_|$)", name):
        found.append("no type in the name")
    if re.search(r"_(count|sum|bucket|total|created)$", name):
        found.append("no suffix that Prometheus gives")
    if re.search(r"_(s|ms|us|millis\w*|micros\w*|minutes?|hours?|kb|mb|percent|pct)(_|$)", name):
        found.append("base units, spelled out")
    if family.type == "histogram" and not name.endswith("_seconds"):
        found.append("a unit")
    labels = {label for sample in family.samples for label in sample.labels}
    if family.type != "histogram" and labels & {"le", "quantile"}:
        found.append("le belongs to histograms")
    if family.type == "counter" and not all(
        sample.name.endswith(("_total", "_created")) for sample in family.samples
    ):
        found.append("counters end in _total")
    return found


def test_names_follow_the_conventions() -> None:
    """Our prefix, base units spelled out, `_total` for counters; and every metric has its help."""
    for family in registry_of_a_worker().registry.collect():
        assert family.documentation, family.name
        if not family.name.startswith(("process_", "python_")):
            assert [] == lint(family), family.name


@pytest.mark.parametrize(
    "wrong",
    [
        CounterMetricFamily("faces", "No prefix.", value=1),
        CounterMetricFamily("facestream_faces", "no sentence", value=1),
        GaugeMetricFamily("facestream_faces_gauge", "Its type.", value=1),
        GaugeMetricFamily("facestream_faces_total", "A counter's suffix.", value=1),
        GaugeMetricFamily("facestream_wait_ms", "No base unit.", value=1),
        GaugeMetricFamily("facestream_lag_events", "A histogram's label.", labels=["le"]),
        HistogramMetricFamily("facestream_wait", "No unit.", buckets=[("+Inf", 1)], sum_value=1),
    ],
    ids=lambda wrong: wrong.documentation,
)
def test_the_conventions_are_really_looked_at(wrong: Metric) -> None:
    """Each of these breaks one."""
    if not wrong.samples:
        wrong.add_sample(wrong.name, {"le": "1"}, 1)
    assert 1 == len(lint(wrong))


def test_an_event_costs_less_than_50_microseconds() -> None:
    """All that the longest way of an event raises; the best of several rounds, as others run."""
    metrics = Metrics()
    stages_ms = {"decode": 4.0, "detect": 9.0, "align": 0.3, "embed": 12.0}
    rounds = 400

    def one_event() -> None:
        metrics.stage("queued", 0.02)
        metrics.stage("fetch", 0.02)
        metrics.stages_ms(stages_ms)
        metrics.operation("real_ml", "success")
        metrics.fallback(FallbackReason.NO_FACE)
        metrics.stage("publish", 0.003)
        metrics.stage("total", 0.05)
        metrics.operation("index", "success")

    best = float("inf")
    for _ in range(7):
        started = time.process_time()
        for _ in range(rounds):
            one_event()
        best = min(best, (time.process_time() - started) / rounds)
    print(f"{best * 1e6:.1f} µs an event")
    assert best < BUDGET_S

"""The keys of a benchmark run, each with its target, and their lines for machines."""

from __future__ import annotations

from benchmarks.figures import (
    Figure,
    Key,
    added,
    against,
    growth,
    own_growth,
    rss_mb,
    scaling,
    start_ms,
)
from benchmarks.results import Results


def figures(results: Results) -> list[Figure]:
    """Return the figure of each key that this run measured."""
    found = [(key, key.compute(results)) for key in KEYS]
    return [Figure(key, value) for key, value in found if value is not None]


def key_lines(results: Results) -> list[str]:
    """Return a line for each key, with the reason if this run did not measure it."""
    measured = {figure.key.name: figure.line() for figure in figures(results)}
    return [measured.get(key.name) or _not_measured(key, results) for key in KEYS]


def _not_measured(key: Key, results: Results) -> str:
    main = next(iter(results.runs), "")
    failed, skipped = results.failed, results.skipped
    found = [failed.get(f"{need} on {main}") or failed.get(need) for need in key.needs]
    found += [skipped.get(need) for need in key.needs]
    reason = next((why for why in found if why), f"not all of {', '.join(key.needs)} here")
    return f"{key.name}=not-measured reason={reason!r}"


JSON, BINARY = "facestream-json", "facestream-binary"
AS_SHIPPED = ("opencv-sequential", "opencv-threads")
SAME_SIZE = ("opencv-sequential-320", "opencv-threads-320")
UNDER_LOAD = ("latency", "latency under load", BINARY)
KAFKA_UNDER_LOAD = ("kafka", "kafka under load", BINARY)

COST_AND_THROUGHPUT = (
    Key(
        "cpu_per_image_vs_bare_json",
        "CPU per event of the worker, over CPU per image of the bare models",
        against("cpu_ms", JSON, ("bare",)),
        (JSON, "bare"),
        digits=3,
        at_most=1.08,
    ),
    Key(
        "cpu_per_image_vs_bare_binary",
        "the same in binary mode",
        against("cpu_ms", BINARY, ("bare",)),
        (BINARY, "bare"),
        digits=3,
        at_most=1.05,
    ),
    Key(
        "throughput_vs_bare_json",
        "images/s, with broker and index on the same cores, over the bare models",
        against("images_s", JSON, ("bare",)),
        (JSON, "bare"),
        digits=3,
        at_least=0.90,
    ),
    Key(
        "throughput_vs_bare_binary",
        "the same in binary mode",
        against("images_s", BINARY, ("bare",)),
        (BINARY, "bare"),
        digits=3,
        at_least=0.94,
    ),
    Key(
        "throughput_vs_opencv",
        "images/s over the faster OpenCV consumer, default detector size",
        against("images_s", JSON, AS_SHIPPED),
        (JSON, *AS_SHIPPED),
        digits=2,
        at_least=1.7,
    ),
    Key(
        "throughput_vs_opencv_same_size",
        "the same, detector at facestream's size",
        against("images_s", JSON, SAME_SIZE),
        (JSON, *SAME_SIZE),
        digits=2,
        at_least=1.15,
    ),
    Key(
        "throughput_vs_deepface",
        "images/s over DeepFace",
        against("images_s", JSON, ("deepface",)),
        (JSON, "deepface"),
        digits=2,
        at_least=3.0,
    ),
    Key(
        "throughput_vs_two_services",
        "images/s over two HTTP services",
        against("images_s", JSON, ("two-services",)),
        (JSON, "two-services"),
        digits=2,
        at_least=2.5,
    ),
)

LATENCY = (
    Key(
        "p50_ms_alone",
        "one event at a time: time from sender to reader, minus the bare models' time",
        added("alone_ms", 0.5, "bare_ms"),
        ("latency",),
        digits=1,
        at_most=8.0,
    ),
    Key(
        "p99_ms_alone",
        "the same, 99th percentile",
        added("alone_ms", 0.99, "bare_ms"),
        ("latency",),
        digits=1,
    ),
    Key(
        "p50_ms_alone_paced",
        "one event at a time, minus bare models that pause before each picture",
        added("alone_ms", 0.5, "paced_ms"),
        ("latency",),
        digits=1,
    ),
    Key(
        "p50_ms_alone_kafka",
        "one event at a time on Apache Kafka with default settings, minus the bare models' time",
        added("alone_ms", 0.5, "bare_ms", on_kafka=True),
        ("kafka",),
        digits=1,
        at_most=8.0,
    ),
    Key(
        "p99_ms_alone_kafka",
        "the same, 99th percentile",
        added("alone_ms", 0.99, "bare_ms", on_kafka=True),
        ("kafka",),
        digits=1,
    ),
    Key(
        "p50_ms_alone_paced_kafka",
        "on Apache Kafka, minus bare models that pause before each picture",
        added("alone_ms", 0.5, "paced_ms", on_kafka=True),
        ("kafka",),
        digits=1,
    ),
)

LATENCY_UNDER_LOAD = (
    Key(
        "p50_ms_load60",
        "at 60 % of the worker's throughput, minus the bare models' time without load",
        added("loaded_ms", 0.5, "bare_ms"),
        UNDER_LOAD,
        digits=1,
    ),
    Key(
        "p99_ms_load60",
        "the same, 99th percentile",
        added("loaded_ms", 0.99, "bare_ms"),
        UNDER_LOAD,
        digits=1,
    ),
    Key(
        "p50_ms_load60_pool",
        "at 60 %, minus a pool of bare models under the same load",
        added("loaded_ms", 0.5, "pool_ms"),
        UNDER_LOAD,
        digits=1,
    ),
    Key(
        "p50_ms_load60_kafka",
        "the same load on Apache Kafka, minus the bare models' time without load",
        added("loaded_ms", 0.5, "bare_ms", on_kafka=True),
        KAFKA_UNDER_LOAD,
        digits=1,
    ),
    Key(
        "p99_ms_load60_kafka",
        "the same, 99th percentile",
        added("loaded_ms", 0.99, "bare_ms", on_kafka=True),
        KAFKA_UNDER_LOAD,
        digits=1,
    ),
    Key(
        "p50_ms_load60_pool_kafka",
        "the same load on Apache Kafka, minus a pool of bare models under it",
        added("loaded_ms", 0.5, "pool_ms", on_kafka=True),
        KAFKA_UNDER_LOAD,
        digits=1,
    ),
)

GROWTH_AND_PROCESS = (
    Key(
        "scaling_2_workers",
        "images/s of two workers with one thread each over one worker",
        scaling("free"),
        ("scaling",),
        digits=3,
        at_least=1.85,
    ),
    Key(
        "scaling_2_workers_own_core",
        "the same, each worker tied to its own core",
        scaling("own core"),
        ("scaling",),
        digits=3,
    ),
    Key(
        "cost_growth_backlog",
        "CPU per event at a backlog of 100,000 over 1,000",
        growth("backlog"),
        ("growth", "bare"),
        digits=3,
        at_most=1.05,
    ),
    Key(
        "cost_growth_index",
        "CPU per event at an index of 100,000 faces over 1,000",
        growth("index"),
        ("growth", "bare"),
        digits=3,
        at_most=1.05,
    ),
    Key(
        "own_cost_growth_backlog",
        "the stream's own CPU per event at a backlog of 100,000 over 1,000",
        own_growth("backlog"),
        ("growth",),
        digits=3,
    ),
    Key(
        "own_cost_growth_index",
        "the stream's own CPU per event at an index of 100,000 faces over 1,000",
        own_growth("index"),
        ("growth",),
        digits=3,
    ),
    Key("rss_mb", "resident memory of a busy worker, MB", rss_mb, (JSON,), digits=0, at_most=320),
    Key(
        "start_ms",
        "from process start to loaded models, with cached graphs",
        start_ms,
        ("start",),
        digits=0,
        at_most=2000,
    ),
)

KEYS = (*COST_AND_THROUGHPUT, *LATENCY, *LATENCY_UNDER_LOAD, *GROWTH_AND_PROCESS)

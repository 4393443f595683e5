"""The figures that are to be reached, each with its target, computed from a run's results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.contenders import Run
from benchmarks.latency import LatencyRound
from benchmarks.ratios import Spread, best_of, percentile, ratios, spread
from benchmarks.results import Results

AS_SHIPPED = ("opencv-sequential", "opencv-threads")
SAME_SIZE = ("opencv-sequential-320", "opencv-threads-320")


@dataclass(frozen=True)
class Key:
    """One figure. `target`: at most, or `at_least`, that much; None: only reported."""

    name: str
    what: str
    target: float | None
    at_least: bool
    digits: int
    of: Callable[[Results], Spread | None]
    """None where the run did not measure it."""
    needs: tuple[str, ...]
    """Contenders and parts of the run that it comes from."""


@dataclass(frozen=True)
class Figure:
    """A key as it was measured."""

    key: Key
    value: Spread

    @property
    def reached(self) -> bool | None:
        """Whether the median keeps to the target."""
        if self.key.target is None:
            return None
        median = self.value.median
        return median >= self.key.target if self.key.at_least else median <= self.key.target

    @property
    def target(self) -> str:
        if self.key.target is None:
            return ""
        sign = "≥" if self.key.at_least else "≤"
        return f"{sign} {self.key.target:g}"

    def line(self) -> str:
        """`key=median`, then spread, target, and whether it is reached."""
        digits = self.key.digits
        words = [
            f"{self.key.name}={self.value.median:.{digits}f}",
            f"low={self.value.low:.{digits}f}",
            f"high={self.value.high:.{digits}f}",
        ]
        if self.key.target is not None:
            words.append(f"target{'>=' if self.key.at_least else '<='}{self.key.target:g}")
            words.append("reached" if self.reached else "NOT-REACHED")
        return " ".join(words)


def figures(results: Results) -> list[Figure]:
    """Every key that this run measured."""
    found = [(key, key.of(results)) for key in KEYS]
    return [Figure(key, value) for key, value in found if value is not None]


def key_lines(results: Results) -> list[str]:
    """A line for each key, also for those that this run did not measure."""
    measured = {figure.key.name: figure.line() for figure in figures(results)}
    return [measured.get(key.name) or _not_measured(key, results) for key in KEYS]


def _not_measured(key: Key, results: Results) -> str:
    """`key=not-measured`, and why."""
    main = next(iter(results.runs), "")
    failed, skipped = results.failed, results.skipped
    found = [failed.get(f"{need} on {main}") or failed.get(need) for need in key.needs]
    found += [skipped.get(need) for need in key.needs]
    reason = next((why for why in found if why), f"not all of {', '.join(key.needs)} here")
    return f"{key.name}=not-measured reason={reason!r}"


def _speed(run: Run) -> float:
    return run.images_s


def _cpu(run: Run) -> float:
    return run.cpu_ms


def _against(
    value: Callable[[Run], float], ours: str, others: Sequence[str]
) -> Callable[[Results], Spread | None]:
    """Our value over that of the best of the others, repeat by repeat."""

    def of(results: Results) -> Spread | None:
        runs = results.main_runs
        there = [runs[name] for name in others if runs.get(name)]
        if not runs.get(ours) or not there:
            return None
        best = best_of(there, _speed)
        return ratios([value(run) for run in runs[ours]], [value(run) for run in best])

    return of


Latencies = Callable[[LatencyRound], Sequence[float]]
"""Of one round."""


def _added(
    measured: Latencies, share: float, to: Latencies, *, on_kafka: bool = False
) -> Callable[[Results], Spread | None]:
    """A percentile over that of bare models, round by round."""

    def of(results: Results) -> Spread | None:
        rounds = results.kafka if on_kafka else results.latency
        pairs = [(measured(one), to(one)) for one in rounds]
        if not all(ours and bare for ours, bare in pairs):
            return None  # without the rounds that failed, it would be that of the better ones
        added = [percentile(ours, share) - percentile(bare, share) for ours, bare in pairs]
        return spread(added) if added else None

    return of


def _scaling(where: str) -> Callable[[Results], Spread | None]:
    def of(results: Results) -> Spread | None:
        pairs = results.scaling.get(where)
        return spread([two / one for one, two in pairs]) if pairs else None

    return of


def _growth(what: str) -> Callable[[Results], Spread | None]:
    """Of a whole event: the stream's own CPU time with that of the bare models on top."""

    def of(results: Results) -> Spread | None:
        pairs, bare = results.growth.get(what), results.main_runs.get("bare")
        if not pairs or not bare:
            return None
        models = spread([run.cpu_ms for run in bare]).median
        return spread([(models + large) / (models + small) for small, large in pairs])

    return of


def _own_growth(what: str) -> Callable[[Results], Spread | None]:
    """Of the stream's own CPU time."""

    def of(results: Results) -> Spread | None:
        pairs = results.growth.get(what)
        return spread([large / small for small, large in pairs]) if pairs else None

    return of


def _rss(results: Results) -> Spread | None:
    runs = results.main_runs.get("facestream-json")
    return spread([run.rss_mb for run in runs]) if runs else None


def _start(results: Results) -> Spread | None:
    return spread(results.start_ms) if results.start_ms else None


def _bare(one: LatencyRound) -> Sequence[float]:
    return one.bare_ms


def _paced(one: LatencyRound) -> Sequence[float]:
    return one.paced_ms


def _pool(one: LatencyRound) -> Sequence[float]:
    return one.pool_ms


def _alone(one: LatencyRound) -> Sequence[float]:
    return one.alone_ms


def _loaded(one: LatencyRound) -> Sequence[float]:
    return one.loaded_ms


JSON, BINARY = "facestream-json", "facestream-binary"

KEYS = (
    Key(
        "cpu_per_image_vs_bare_json",
        "CPU of the worker an event, over CPU of the bare models an image",
        *(1.08, False, 3),
        _against(_cpu, JSON, ("bare",)),
        (JSON, "bare"),
    ),
    Key(
        "cpu_per_image_vs_bare_binary",
        "the same in binary mode",
        *(1.05, False, 3),
        _against(_cpu, BINARY, ("bare",)),
        (BINARY, "bare"),
    ),
    Key(
        "throughput_vs_bare_json",
        "images/s, broker and index on the same cores, over the bare models",
        *(0.90, True, 3),
        _against(_speed, JSON, ("bare",)),
        (JSON, "bare"),
    ),
    Key(
        "throughput_vs_bare_binary",
        "the same in binary mode",
        *(0.94, True, 3),
        _against(_speed, BINARY, ("bare",)),
        (BINARY, "bare"),
    ),
    Key(
        "throughput_vs_opencv",
        "images/s over the better OpenCV consumer, as it ships",
        *(1.7, True, 2),
        _against(_speed, JSON, AS_SHIPPED),
        (JSON, *AS_SHIPPED),
    ),
    Key(
        "throughput_vs_opencv_same_size",
        "the same with its detector at our size",
        *(1.15, True, 2),
        _against(_speed, JSON, SAME_SIZE),
        (JSON, *SAME_SIZE),
    ),
    Key(
        "throughput_vs_deepface",
        "images/s over DeepFace",
        *(3.0, True, 2),
        _against(_speed, JSON, ("deepface",)),
        (JSON, "deepface"),
    ),
    Key(
        "throughput_vs_two_services",
        "images/s over two HTTP services",
        *(2.5, True, 2),
        _against(_speed, JSON, ("two-services",)),
        (JSON, "two-services"),
    ),
    Key(
        "p50_ms_alone",
        "one event at a time: sender to reader, added to the bare models' time",
        *(8.0, False, 1),
        _added(_alone, 0.5, _bare),
        ("latency",),
    ),
    Key(
        "p99_ms_alone",
        "the same, 99th percentile",
        *(None, False, 1),
        _added(_alone, 0.99, _bare),
        ("latency",),
    ),
    Key(
        "p50_ms_alone_paced",
        "one event at a time, added to bare models that pause before each picture",
        *(None, False, 1),
        _added(_alone, 0.5, _paced),
        ("latency",),
    ),
    Key(
        "p50_ms_alone_kafka",
        "one event at a time on Apache Kafka, at default settings, added to the bare models' time",
        *(8.0, False, 1),
        _added(_alone, 0.5, _bare, on_kafka=True),
        ("kafka",),
    ),
    Key(
        "p99_ms_alone_kafka",
        "the same, 99th percentile",
        *(None, False, 1),
        _added(_alone, 0.99, _bare, on_kafka=True),
        ("kafka",),
    ),
    Key(
        "p50_ms_alone_paced_kafka",
        "on Apache Kafka, added to bare models that pause before each picture",
        *(None, False, 1),
        _added(_alone, 0.5, _paced, on_kafka=True),
        ("kafka",),
    ),
    Key(
        "p50_ms_load60",
        "at 60 % of what the worker can do, added to the bare models' time alone",
        *(None, False, 1),
        _added(_loaded, 0.5, _bare),
        ("latency", "latency under load", BINARY),
    ),
    Key(
        "p99_ms_load60",
        "the same, 99th percentile",
        *(None, False, 1),
        _added(_loaded, 0.99, _bare),
        ("latency", "latency under load", BINARY),
    ),
    Key(
        "p50_ms_load60_pool",
        "at 60 %, added to a pool of bare models under the same load",
        *(None, False, 1),
        _added(_loaded, 0.5, _pool),
        ("latency", "latency under load", BINARY),
    ),
    Key(
        "p50_ms_load60_kafka",
        "the same load on Apache Kafka, added to the bare models' time alone",
        *(None, False, 1),
        _added(_loaded, 0.5, _bare, on_kafka=True),
        ("kafka", "kafka under load", BINARY),
    ),
    Key(
        "p99_ms_load60_kafka",
        "the same, 99th percentile",
        *(None, False, 1),
        _added(_loaded, 0.99, _bare, on_kafka=True),
        ("kafka", "kafka under load", BINARY),
    ),
    Key(
        "p50_ms_load60_pool_kafka",
        "the same load on Apache Kafka, added to a pool of bare models under it",
        *(None, False, 1),
        _added(_loaded, 0.5, _pool, on_kafka=True),
        ("kafka", "kafka under load", BINARY),
    ),
    Key(
        "scaling_2_workers",
        "images/s of two workers of one thread over one",
        *(1.85, True, 3),
        _scaling("free"),
        ("scaling",),
    ),
    Key(
        "scaling_2_workers_own_core",
        "the same, each worker tied to a core of its own",
        *(None, True, 3),
        _scaling("own core"),
        ("scaling",),
    ),
    Key(
        "cost_growth_backlog",
        "CPU an event at a backlog of 100,000 over one of 1,000",
        *(1.05, False, 3),
        _growth("backlog"),
        ("growth", "bare"),
    ),
    Key(
        "cost_growth_index",
        "CPU an event at an index of 100,000 faces over one of 1,000",
        *(1.05, False, 3),
        _growth("index"),
        ("growth", "bare"),
    ),
    Key(
        "own_cost_growth_backlog",
        "the stream's own CPU an event, at a backlog of 100,000 over one of 1,000",
        *(None, False, 3),
        _own_growth("backlog"),
        ("growth",),
    ),
    Key(
        "own_cost_growth_index",
        "the stream's own CPU an event, at an index of 100,000 faces over one of 1,000",
        *(None, False, 3),
        _own_growth("index"),
        ("growth",),
    ),
    Key("rss_mb", "resident memory of the worker at work, MB", 320, False, 0, _rss, (JSON,)),
    Key(
        "start_ms",
        "from the process's start to warm models, graphs prepared before",
        *(2000, False, 0),
        _start,
        ("start",),
    ),
)

"""Write the tables of ``docs/scaling.md`` from the results of ``make bench``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.capacity import CORES_PER_WORKER, EventCost, Needs, needs, qdrant_gb
from benchmarks.contenders import Run
from benchmarks.ratios import ratios, spread
from benchmarks.report import BEGIN, END, markdown
from benchmarks.results import Results
from benchmarks.scaling_simulation import Autoscaler, Group, Rate, busiest, simulate

LOADS = (100.0, 1_000.0, 10_000.0, 100_000.0)
POINTS = (1e6, 1e7, 1e8, 1e9)
DIMENSIONS = (128, 512)
STEPS = (0.8, 1.5, 3.0, 6.0, 7.5)
"""Loads as a multiple of the throughput of the minimum of workers."""
STEP_AT, SECONDS, LATE_S = 60, 6 * 3600, 2 * 3600
"""The simulation covers six hours; the last two are reported separately."""


def write_scaling_page(results: Results, page: Path) -> None:
    """Replace the text between the page's markers.

    Raises ``ValueError`` if the run did not measure the worker or the bare models.
    """
    cost = event_cost(results)
    lines = [
        *(*_one_core(results, cost), *_predicted(results, cost), *_loads(cost)),
        *(*_memory(), *_skew(), *_steps(_of_two_cores(results, cost))),
    ]
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    body = "\n".join(lines)
    page.write_text(f"{before}{BEGIN}\n{body}\n{END}{after}", encoding="utf-8")


def event_cost(results: Results, worker: str = "facestream-binary") -> EventCost:
    """Return the cost of an event of the main picture set.

    The worker's CPU is the bare models' median times the median ratio within a repeat, because two
    medians may come from repeats in which the machine was differently fast.
    """
    bare, own = _runs(results, "bare"), _runs(results, worker)
    models_ms = spread([run.cpu_ms for run in bare]).median
    stream = [small for small, _ in results.growth.get("backlog", [])]
    return EventCost(
        cpu_ms=models_ms * ratios([run.cpu_ms for run in own], [run.cpu_ms for run in bare]).median,
        models_ms=models_ms,
        picture_kb=next(iter(results.sets.values())).mean_kb,
        answer_kb=own[0].answer_bytes / 1000,
        stream_ms=spread(stream).median if stream else None,
    )


def _runs(results: Results, name: str) -> Sequence[Run]:
    if not results.main_runs.get(name):
        raise ValueError(f"{name} was not measured")
    return results.main_runs[name]


def _one_core(results: Results, cost: EventCost) -> list[str]:
    rows = [
        ["CPU per event, ms", f"{cost.cpu_ms:.1f}"],
        ["CPU of the models, ms", f"{cost.models_ms:.1f}"],
        ["images/s per core", f"{cost.per_core:.0f}"],
        ["picture, kB", f"{cost.picture_kb:.0f}"],
        ["answer per face, kB", f"{cost.answer_kb:.1f}"],
    ]
    if results.main_runs.get("facestream-json"):
        with_json = event_cost(results, "facestream-json").cpu_ms
        rows.insert(1, ["CPU per event with JSON, ms", f"{with_json:.1f}"])
    if cost.stream_ms is not None:
        rows += [
            ["CPU of the stream with stub models, ms", f"{cost.stream_ms:.2f}"],
            ["inference threads per worker, at most", str(cost.most_threads)],
        ]
    return ["", "### Cost of an event on this machine", *markdown(("", ""), rows)]


def _predicted(results: Results, cost: EventCost) -> list[str]:
    """Compare the throughput computed from the cost of an event with the measured one."""
    cores = int(results.machine.get("cores", CORES_PER_WORKER))
    measured = {
        f"one worker, {cores} threads": (
            cores,
            [run.images_s for run in _runs(results, "facestream-binary")],
        )
    }
    for where, pairs in results.scaling.items():
        measured[f"one worker of one thread, {where}"] = 1, [one for one, _ in pairs]
        measured[f"two workers of one thread, {where}"] = 2, [two for _, two in pairs]
    rows = [
        [what, f"{on * cost.per_core:.0f}", spread(found).text(), _percent(found, on, cost)]
        for what, (on, found) in measured.items()
    ]
    head = ("images/s", "computed", "measured", "measured / computed")
    return ["### Computed and measured throughput", *markdown(head, rows)]


def _percent(found: Sequence[float], cores: int, cost: EventCost) -> str:
    return f"{100 * spread(found).median / (cores * cost.per_core):.0f} %"


def _of_two_cores(results: Results, cost: EventCost) -> float:
    """Return images/s of a planned worker, measured if this machine has as many cores."""
    if results.machine.get("cores") == str(CORES_PER_WORKER):
        return spread([run.images_s for run in _runs(results, "facestream-binary")]).median
    return CORES_PER_WORKER * cost.per_core


def _loads(cost: EventCost) -> list[str]:
    rows = [_load_row(needs(load, cost)) for load in LOADS]
    head = (
        *("images/s", "cores", "workers", "partitions", "Kafka in, MB/s", "Kafka out, MB/s"),
        *(
            "broker writes, MB/s",
            "brokers",
            "disk, TB",
            "disk with claim checks, TB",
            "faces per day, millions",
        ),
    )
    return ["### Needs of a load", *markdown(head, rows)]


def _load_row(load: Needs) -> list[str]:
    return [
        *(f"{load.images_s:,.0f}", f"{load.cores:,}", f"{load.workers:,}", f"{load.partitions:,}"),
        *(f"{load.in_mb_s:,.0f}", f"{load.out_mb_s:,.0f}", f"{load.broker_write_mb_s:,.0f}"),
        *(
            f"{load.brokers:,}",
            f"{load.disk_tb:,.1f}",
            f"{load.disk_claim_tb:,.2f}",
            f"{load.faces_per_day_m:,.1f}",
        ),
    ]


def _memory() -> list[str]:
    rows = [
        [f"{points / 1e6:,.0f}", *(f"{qdrant_gb(points, size):,.1f}" for size in DIMENSIONS)]
        for points in POINTS
    ]
    head = ("million faces", *(f"GB at {size} dimensions" for size in DIMENSIONS))
    return ["### Memory of the index", *markdown(head, rows)]


def _skew() -> list[str]:
    rows = [
        [
            str(partitions),
            str(workers),
            *(
                f"{busiest(Group(1.0, partitions, users=users), workers):.2f}"
                for users in (100, 10_000)
            ),
        ]
        for partitions, workers in ((8, 2), (24, 12), (24, 20), (24, 24), (96, 24), (96, 40))
    ]
    head = ("partitions", "workers", "busiest worker over mean, 100 users", "10,000 users")
    return ["### Distribution of users over workers", *markdown(head, rows)]


def _steps(per_worker: float) -> list[str]:
    scaler, rows = Autoscaler(), []
    group = Group(per_worker)
    late = slice(-LATE_S, None)
    for step in STEPS:
        rate = step * scaler.least * group.per_worker
        course = simulate(group, _step(rate), SECONDS, scaler)
        rows.append(
            [
                *(f"{rate:,.0f}", f"{rate / group.per_worker:.1f}"),
                *(f"{max(course.lag):,.0f}", f"{max(course.longest_wait_s):,.0f}"),
                str(max(course.workers)),
                *(_range(course.lag[late]), _range(course.longest_wait_s[late])),
                _range(course.workers[late]),
            ]
        )
    head = (
        *("images/s", "workers needed", "maximum lag", "longest wait, s", "maximum workers"),
        *("lag, last 2 h", "longest wait, last 2 h, s", "workers, last 2 h"),
    )
    return ["### Simulated autoscaler", *markdown(head, rows)]


def _range(values: Sequence[float]) -> str:
    low, high = f"{min(values):,.0f}", f"{max(values):,.0f}"
    return low if low == high else f"{low} to {high}"


def _step(rate: float) -> Rate:
    return lambda second: rate if second >= STEP_AT else 0.0

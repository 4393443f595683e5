"""The tables of docs/scaling.md, from what `make bench` measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.capacity import EventCost, Needs, needs, qdrant_gb
from benchmarks.contenders import Run
from benchmarks.ratios import spread
from benchmarks.report import BEGIN, END, markdown
from benchmarks.results import Results
from benchmarks.scaling_simulation import Autoscaler, Group, Rate, busiest, simulate

LOADS = (100.0, 1_000.0, 10_000.0, 100_000.0)
POINTS = (1e6, 1e7, 1e8, 1e9)
DIMENSIONS = (128, 512)
STEPS = (0.8, 1.5, 3.0, 6.0, 7.5)
"""Loads as a multiple of what the fewest workers can do."""
STEP_AT, SECONDS, LATE_S = 60, 3600, 600
"""An hour; its last ten minutes are the end."""


def write_scaling_page(results: Results, page: Path) -> None:
    """Replace what stands between the marks. Raises ValueError for a run without our worker."""
    cost = event_cost(results)
    lines = [*_one_core(results, cost), *_loads(cost), *_memory(), *_skew(), *_steps(cost)]
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    body = "\n".join(lines)
    page.write_text(f"{before}{BEGIN}\n{body}\n{END}{after}", encoding="utf-8")


def event_cost(results: Results) -> EventCost:
    """Of the main picture set, in binary mode."""
    bare, own = (_runs(results, name) for name in ("bare", "facestream-binary"))
    return EventCost(
        cpu_ms=spread([run.cpu_ms for run in own]).median,
        models_ms=spread([run.cpu_ms for run in bare]).median,
        picture_kb=next(iter(results.sets.values())).mean_kb,
        answer_kb=own[0].answer_bytes / 1000,
    )


def _runs(results: Results, name: str) -> Sequence[Run]:
    if not results.main_runs.get(name):
        raise ValueError(f"{name} was not measured")
    return results.main_runs[name]


def _one_core(results: Results, cost: EventCost) -> list[str]:
    rows = [
        ["CPU of an event, ms", f"{cost.cpu_ms:.1f}"],
        ["of it the models, ms", f"{cost.models_ms:.1f}"],
        ["images/s of one core that does nothing else", f"{cost.per_core:.0f}"],
        ["threads that one worker's event loop keeps busy", str(cost.most_threads)],
        ["picture, kB", f"{cost.picture_kb:.0f}"],
        ["answer, kB a face", f"{cost.answer_kb:.1f}"],
    ]
    for where, pairs in results.scaling.items():
        ratio = spread([two / one for one, two in pairs]).text(2)
        rows.append([f"two workers over one, threads: {where}", ratio])
    return ["", "### What one event costs here", *markdown(("", ""), rows)]


def _loads(cost: EventCost) -> list[str]:
    rows = [_load_row(needs(load, cost)) for load in LOADS]
    head = (
        *("images/s", "cores", "workers", "partitions", "Kafka in, MB/s", "out, MB/s"),
        *("brokers write, MB/s", "disk, TB", "disk with claim checks, TB", "faces a day, millions"),
    )
    return ["### What a load needs", *markdown(head, rows)]


def _load_row(load: Needs) -> list[str]:
    return [
        *(f"{load.images_s:,.0f}", f"{load.cores:,}", f"{load.workers:,}", f"{load.partitions:,}"),
        *(f"{load.in_mb_s:,.0f}", f"{load.out_mb_s:,.0f}", f"{load.broker_write_mb_s:,.0f}"),
        *(f"{load.disk_tb:,.1f}", f"{load.disk_claim_tb:,.2f}", f"{load.faces_a_day_m:,.1f}"),
    ]


def _memory() -> list[str]:
    rows = [
        [f"{points / 1e6:,.0f}", *(f"{qdrant_gb(points, size):,.1f}" for size in DIMENSIONS)]
        for points in POINTS
    ]
    head = ("million faces", *(f"GB at {size} numbers" for size in DIMENSIONS))
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
    head = ("partitions", "workers", "busiest over mean, 100 users", "10,000 users")
    return ["### How evenly users spread", *markdown(head, rows)]


def _steps(cost: EventCost) -> list[str]:
    scaler, rows = Autoscaler(), []
    group = Group(per_worker=2 * cost.per_core)
    for step in STEPS:
        rate = step * scaler.least * group.per_worker
        course = simulate(group, _step(rate), SECONDS, scaler)
        late = slice(-LATE_S, None)
        lag, workers = median(course.lag[late]), median(course.workers[late])
        rows.append(
            [
                *(f"{rate:,.0f}", f"{rate / group.per_worker:.1f}"),
                *(f"{max(course.lag):,.0f}", f"{max(course.lag) / rate:.0f}"),
                str(max(course.workers)),
                *(f"{lag:,.0f}", f"{lag / rate:.0f}", f"{workers:.0f}"),
            ]
        )
    head = (
        *("images/s from nothing", "workers' worth", "most lag", "in seconds of load"),
        *("most workers", "lag in the end", "in seconds of load", "workers in the end"),
    )
    return ["### The autoscaler, simulated", *markdown(head, rows)]


def _step(rate: float) -> Rate:
    return lambda second: rate if second >= STEP_AT else 0.0

"""Show a run's results as tables, on the terminal and in ``docs/benchmarks.md``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.contenders import Run
from benchmarks.latency import LatencyRound
from benchmarks.plot import draw
from benchmarks.ratios import percentile, ratios, spread
from benchmarks.results import Results
from benchmarks.targets import figures, key_lines

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
PLOT = "benchmarks.png"

Row = Sequence[str]

CONTENDERS = ("", "images/s", "CPU-ms per image", "CPU / bare", "images/s / bare", "MB", "faces")
LATENCY = ("", "p50", "p90", "p99")
PERCENTILES = (0.5, 0.9, 0.99)
FIGURES = ("key", "median", "lowest to highest", "target", "reached")


def show(results: Results, console: Console) -> None:
    """Print the tables."""
    for name, runs in results.runs.items():
        _print(console, _title(results, name), CONTENDERS, _contender_rows(runs))
    if results.latency or results.kafka:
        _print(console, "latency, ms", LATENCY, _latency_rows(results))
    _print(console, "targets", FIGURES, _figure_rows(results))
    for name, reason in results.skipped.items():
        console.print(f"not measured: {name}: {reason}", style="dim", markup=False)
    for name, reason in results.failed.items():
        console.print(f"FAILED: {name}: {reason}", style="red", markup=False)


def write_page(results: Results, page: Path) -> None:
    """Replace the text between the page's markers, and draw the plot."""
    images = page.parent / "images"
    images.mkdir(parents=True, exist_ok=True)
    draw(results, images / PLOT)
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    body = "\n".join(_page(results, f"{os.path.relpath(images / PLOT, page.parent)}"))
    page.write_text(f"{before}{BEGIN}\n{body}\n{END}{after}", encoding="utf-8")


def _page(results: Results, plot: str) -> list[str]:
    lines = ["", f"![Images per second and CPU time per image, by contender]({plot})", ""]
    lines += [
        f"{results.repeats} repeats, {results.minutes:.0f} minutes. "
        + ", ".join(f"{name} {value}" for name, value in results.machine.items())
        + ".",
        "",
    ]
    if results.again:
        lines += [f"Measured later, in a separate run: {', '.join(results.again)}.", ""]
    for name, runs in results.runs.items():
        lines += [f"### {_title(results, name)}", *markdown(CONTENDERS, _contender_rows(runs))]
    if results.latency or results.kafka:
        lines += ["### Latency, ms", *markdown(LATENCY, _latency_rows(results))]
    if results.scaling:
        lines += ["### One and two workers of one thread"]
        lines += markdown(
            ("threads", "one worker, images/s", "two workers"), _pair_rows(results.scaling)
        )
    if results.growth:
        lines += ["### The stream's own CPU-ms per event, without the models"]
        lines += markdown(("size of", "at 1,000", "at 100,000"), _pair_rows(results.growth))
    lines += ["### Targets", *markdown(FIGURES, _figure_rows(results))]
    lines += [f"Not measured: {name} ({reason})." for name, reason in results.skipped.items()]
    lines += [f"Failed: {name} ({reason})." for name, reason in results.failed.items()]
    lines += ["", "```", *key_lines(results), "```"]
    return lines


def _title(results: Results, name: str) -> str:
    facts = results.sets[name]
    return f"{name}: {facts.what}, {facts.pictures} JPEGs of {facts.mean_kb:,.0f} kB"


def _contender_rows(runs: dict[str, list[Run]]) -> list[Row]:
    limit = runs.get("bare")
    rows: list[Row] = []
    for name, own in runs.items():
        cpu, speed = [run.cpu_ms for run in own], [run.images_s for run in own]
        memory = spread([run.rss_mb for run in own]).median
        rows.append(
            [
                name,
                spread(speed).text(),
                spread(cpu).text(2),
                ratios(cpu, [run.cpu_ms for run in limit]).text(3) if limit else "",
                ratios(speed, [run.images_s for run in limit]).text(3) if limit else "",
                f"{memory:.0f}" if memory else "",
                f"{own[0].faces_per_image:.2f}",
            ]
        )
    return rows


def _latency_rows(results: Results) -> list[Row]:
    rows: list[Row] = []
    for broker, rounds in (("embedded broker", results.latency), ("Apache Kafka", results.kafka)):
        kinds = {
            "bare models in a loop": [one.bare_ms for one in rounds],
            "bare models with pauses": [one.paced_ms for one in rounds],
            "worker, one event at a time": [one.alone_ms for one in rounds],
            f"a pool of bare models, {_rate(rounds)}": [one.pool_ms for one in rounds],
            f"worker at {_rate(rounds)}": [one.loaded_ms for one in rounds],
        }
        for name, found in kinds.items():
            if found and all(found):
                spreads = [spread([percentile(one, at) for one in found]) for at in PERCENTILES]
                rows.append([f"{broker}: {name}", *(each.text() for each in spreads)])
    return rows


def _rate(rounds: Sequence[LatencyRound]) -> str:
    rates = {f"{one.loaded_rate:.0f} events per second" for one in rounds if one.loaded_rate}
    return min(rates, default="60 % load")


def _pair_rows(pairs: dict[str, list[tuple[float, float]]]) -> list[Row]:
    return [
        [name, *(spread([pair[at] for pair in found]).text(2) for at in (0, 1))]
        for name, found in pairs.items()
    ]


def _figure_rows(results: Results) -> list[Row]:
    words = {True: "yes", False: "no", None: ""}
    return [
        [
            f"{figure.key.name}: {figure.key.description}",
            f"{figure.value.median:.{figure.key.digits}f}",
            f"{figure.value.low:.{figure.key.digits}f} to "
            f"{figure.value.high:.{figure.key.digits}f}",
            figure.target,
            words[figure.reached],
        ]
        for figure in figures(results)
    ]


def _print(console: Console, title: str, head: Row, rows: Iterable[Row]) -> None:
    table = Table(title=title, title_justify="left")
    for index, word in enumerate(head):
        table.add_column(word, justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def markdown(head: Row, rows: Iterable[Row]) -> list[str]:
    """Format a table, with an empty line before and after."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return ["", *("| " + " | ".join(line) + " |" for line in lines), ""]

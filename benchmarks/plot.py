"""Plot each contender's speed and cost on the main picture set, for ``docs/benchmarks.md``."""

from __future__ import annotations

from pathlib import Path

from benchmarks.ratios import Spread, spread
from benchmarks.results import Results

LIMIT, OURS, OTHERS = "#555555", "#2a7f62", "#b9c4c0"


def draw(results: Results, path: Path) -> None:
    """Draw medians as bars, and the lowest and highest repeat as whiskers."""
    import matplotlib as mpl  # noqa: PLC0415  an extra, for this command only

    mpl.use("agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    runs = {name: own for name, own in results.main_runs.items() if own}
    names = list(runs)[::-1]
    panels = {
        "images a second": {name: spread([run.images_s for run in runs[name]]) for name in names},
        "CPU milliseconds per image": {
            name: spread([run.cpu_ms for run in runs[name]]) for name in names
        },
    }
    figure, axes = plt.subplots(
        1, 2, sharey=True, figsize=(10, 1 + 0.4 * len(names)), layout="constrained"
    )
    for axis, (label, values) in zip(axes, panels.items(), strict=True):
        bars = axis.barh(
            names,
            [value.median for value in values.values()],
            xerr=_whiskers(list(values.values())),
            color=[_colour(name) for name in names],
            capsize=3,
        )
        axis.bar_label(bars, [f"{value.median:.1f}" for value in values.values()], padding=8)
        axis.margins(x=0.2)
        axis.set_xlabel(label)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _whiskers(values: list[Spread]) -> list[list[float]]:
    return [
        [value.median - value.low for value in values],
        [value.high - value.median for value in values],
    ]


def _colour(name: str) -> str:
    if name.startswith("bare"):
        return LIMIT
    return OURS if name.startswith("facestream") else OTHERS

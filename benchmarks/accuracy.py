"""``make accuracy DATA=folder``: measure the models, into docs/accuracy.md and key=value lines.

``accuracy_data.py`` describes the folder.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.accuracy_data import Data, read_data
from benchmarks.accuracy_figures import Measured, key_values, left_out
from benchmarks.accuracy_models import Measurable, measurable, pipeline_of
from benchmarks.accuracy_report import write_report
from benchmarks.accuracy_targets import verdicts
from benchmarks.measure_detection import (
    Detection,
    Turned,
    measure_detection,
    measure_turned,
)
from benchmarks.measure_verification import Verification, measure_verification
from streams.config.settings import Settings, current

DEFAULT_DETECTOR, DEFAULT_EMBEDDER = "yunet", "sface"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the figures and targets, and write the page if one is given."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with index.csv and *_pairs.csv")
    parser.add_argument("--models", default="", help="only these, by name, separated by commas")
    parser.add_argument("--page", type=Path, help="page that gets the tables")
    options = parser.parse_args(arguments)
    data, settings = read_data(options.data), current()
    only = tuple(name for name in options.models.split(",") if name)
    models = measurable(settings, only)
    notes = Console(file=sys.stderr, soft_wrap=True)
    for name, reason in {**models.refused, **models.missing}.items():
        notes.print(f"not measured: {name}: {reason}", style="dim", markup=False)
    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=notes) as progress:
        measured = _measure(data, settings, models, progress)
    if options.page is not None:
        write_report(measured, options.page, options.page.parent / "images")
    for line in left_out(measured):
        notes.print(line, style="dim", markup=False)
    values = key_values(measured)
    for key, value in values.items():
        print(f"{key}={value}")
    for target in verdicts(values):
        print(target.line())
    return 0


def _measure(data: Data, settings: Settings, models: Measurable, progress: Progress) -> Measured:
    verification: dict[tuple[str, str], Verification] = {}
    detection: dict[str, Detection] = {}
    turned: dict[str, dict[int, Turned]] = {}

    def ticking(what: str) -> Tick:
        return Tick(progress, what)

    for embedder in models.embedders:
        pipeline = pipeline_of(settings, DEFAULT_DETECTOR, embedder, models.assessor)
        for name, pairs in data.pairs.items():
            tick = ticking(f"{embedder}: {name}")
            verification[name, embedder] = measure_verification(pipeline, data, pairs, tick)
    if data.pictures:
        for detector in models.detectors:
            pipeline = pipeline_of(settings, detector, DEFAULT_EMBEDDER)
            detection[detector] = measure_detection(pipeline, data, ticking(f"{detector}: found"))
            turned[detector] = measure_turned(pipeline, data, ticking(f"{detector}: turned"))
    return Measured(verification, detection, turned, models)


class Tick:
    """Counts pictures on a line of the progress display."""

    def __init__(self, progress: Progress, what: str) -> None:
        self._progress = progress
        self._task = progress.add_task(what, total=None)

    def __call__(self) -> None:
        self._progress.advance(self._task)


if __name__ == "__main__":
    raise SystemExit(main())

"""`make bench`: the stream beside its limit and beside what people would use instead.

CPU time is the steadiest figure on a shared machine; images a second are given beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import structlog
from rich.console import Console
from rich.table import Table

from benchmarks.contenders import Contender, Load, Run, bare, facestream
from benchmarks.picture_sets import SETS, PictureSet, from_folder
from benchmarks.ratios import ratios, spread

CONTENDERS: dict[str, Contender] = {
    "bare": bare(2),
    "bare, one thread": bare(1),
    "facestream json": facestream(binary=False),
    "facestream binary": facestream(binary=True),
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=600)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sets", default="vga")
    parser.add_argument("--only", default="", help="contenders whose names begin so")
    parser.add_argument("--data", type=Path, help="folder of JPEGs")
    options = parser.parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    notes = Console(file=sys.stderr)
    sets = [from_folder(options.data)] if options.data else []
    sets += [SETS[name]() for name in options.sets.split(",")]
    only = tuple(filter(None, options.only.split(",")))
    chosen = {n: c for n, c in CONTENDERS.items() if not only or n.startswith(only)}
    with tempfile.TemporaryDirectory(prefix="facestream-bench-") as folder:
        for pictures in sets:
            load = _written(pictures, Path(folder), options.events)
            runs = asyncio.run(_repeat(load, chosen, options.repeats, Path(folder), notes))
            _show(pictures, runs)
    return 0


def _written(pictures: PictureSet, folder: Path, events: int) -> Load:
    into = folder / f"pictures-{pictures.name}"
    into.mkdir()
    for index, picture in enumerate(pictures.pictures):
        (into / f"{index:04}.jpg").write_bytes(picture)
    return Load(pictures, into, events)


async def _repeat(
    load: Load, contenders: dict[str, Contender], repeats: int, folder: Path, notes: Console
) -> dict[str, list[Run]]:
    runs: dict[str, list[Run]] = {name: [] for name in contenders}
    names, places = list(contenders), itertools.count()
    for repeat in range(repeats):
        for name in names[repeat % len(names) :] + names[: repeat % len(names)]:
            started = time.monotonic()
            run = await contenders[name](load, folder / f"run-{next(places)}")
            runs[name].append(run)
            notes.print(
                f"{load.set.name} {repeat + 1}/{repeats} {name}: {run.images_s:.1f} images/s, "
                f"{run.cpu_ms:.2f} CPU-ms an image, {run.rss_mb:.0f} MB "
                f"({time.monotonic() - started:.0f} s)",
                style="dim",
            )
    return runs


def _show(pictures: PictureSet, runs: dict[str, list[Run]]) -> None:
    table = Table(title=pictures.what)
    for head in ("contender", "images/s", "CPU-ms an image", "CPU vs bare", "images/s vs bare"):
        table.add_column(head)
    limit = runs.get("bare")
    for name, own in runs.items():
        cpu = [run.cpu_ms for run in own]
        speed = [run.images_s for run in own]
        row = [name, spread(speed).text(), spread(cpu).text(2)]
        if limit:
            row.append(ratios(cpu, [run.cpu_ms for run in limit]).text(3))
            row.append(ratios(speed, [run.images_s for run in limit]).text(3))
        table.add_row(*row)
    Console(width=132).print(table)


if __name__ == "__main__":
    raise SystemExit(main())

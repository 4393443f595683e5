"""``make bench``: compare the stream with the bare models and with alternatives.

``docs/benchmarks.md`` describes what is measured and how. CPU time varies least on a shared
machine; images per second are reported too.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import structlog
from rich.console import Console

from benchmarks.measuring import measure
from benchmarks.plan import Plan, quick
from benchmarks.report import show, write_page
from benchmarks.results import read_results, write_results
from benchmarks.scaling_page import write_scaling_page
from benchmarks.targets import key_lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; exit with 1 if a contender failed, after measuring the others."""
    options = _options(arguments)
    notes = Console(file=sys.stderr, highlight=False)
    if options.render:
        results = read_results(options.json)
    else:
        plan = _plan(options)
        # The embedded index is large on purpose, to measure its cost.
        warnings.filterwarnings("ignore", message="Local mode is not recommended")
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
        with tempfile.TemporaryDirectory(prefix="facestream-bench-") as folder:
            earlier = read_results(options.json) if options.again else None
            results = asyncio.run(
                measure(quick(plan) if options.quick else plan, Path(folder), notes, earlier)
            )
        write_results(results, options.json)
    show(results, Console(width=132))
    for line in key_lines(results):
        print(line)
    if options.page is not None:
        write_page(results, options.page)
    if options.scaling_page is not None:
        try:
            write_scaling_page(results, options.scaling_page)
        except ValueError as error:
            print(f"{options.scaling_page} was not changed: {error}", file=sys.stderr)
            return 1
    return 1 if results.failed else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=(__doc__ or "").splitlines()[0]
    )
    default = Plan()
    parser.add_argument("--repeats", type=int, default=default.repeats)
    parser.add_argument(
        "--events", type=int, default=default.events, help="events of the fastest contenders"
    )
    parser.add_argument("--sets", default=",".join(default.sets), help="picture sets, main first")
    parser.add_argument("--only", default="", help="prefixes of contenders and parts")
    parser.add_argument("--peers", default="", help="deepface")
    parser.add_argument(
        "--deepface-python", default=sys.executable, help="an interpreter with deepface"
    )
    parser.add_argument("--data", type=Path, help="folder of JPEGs that replaces the main set")
    parser.add_argument("--quick", action="store_true", help="three minutes")
    parser.add_argument("--json", type=Path, default=Path("var/bench/results.json"))
    parser.add_argument("--page", type=Path, help="page that gets tables and plot")
    parser.add_argument("--scaling-page", type=Path, help="page that gets the sizing")
    parser.add_argument(
        "--again",
        default="",
        help="sets and parts to measure again into an earlier run's JSON",
    )
    parser.add_argument(
        "--render", action="store_true", help="only show the JSON and write the pages"
    )
    return parser.parse_args(arguments)


def _plan(options: argparse.Namespace) -> Plan:
    return Plan(
        repeats=options.repeats,
        events=options.events,
        sets=_words(options.sets),
        only=_words(options.only),
        again=_words(options.again),
        peers=_words(options.peers),
        deepface_python=options.deepface_python,
        data=options.data,
    )


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


if __name__ == "__main__":
    raise SystemExit(main())

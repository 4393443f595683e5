"""``python -m tools.chaos``: the commands behind ``make chaos``, ``overload`` and ``soak``."""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tools.chaos import soak as soaking
from tools.chaos.overload import piece
from tools.chaos.run import Options, Outcome, run

#: Events of one seed. Two seeds of both loads take about ten minutes.
REAL_EVENTS = 2_000
RANDOM_EVENTS = 20_000
BUGS = {"ack-on-completion": "tools.chaos.app_acking_on_completion"}
LOADS = {"real": (True,), "random": (False,), "both": (True, False)}


def main(arguments: list[str] | None = None) -> int:
    """Run a command. The exit status is 0 when nothing was lost and no resource grew."""
    options = _parser().parse_args(arguments)
    # Like Ctrl-C: on SIGTERM, too, the suite stops its processes before it ends.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = options.folder or Path(tempfile.mkdtemp(prefix=f"facestream-{options.command}-"))
    folder.mkdir(parents=True, exist_ok=True)
    command: Callable[[argparse.Namespace, Path], int] = options.run
    return command(options, folder)


def _chaos(options: argparse.Namespace, folder: Path) -> int:
    first = options.seed if options.seed is not None else random.SystemRandom().randrange(10_000)
    seeds = [first] if options.seed is not None else list(range(first, first + options.seeds))
    print(f"chaos: seeds={','.join(map(str, seeds))} logs={folder}", flush=True)
    failed = []
    for seed in seeds:
        for real in LOADS[options.load]:
            outcome = asyncio.run(_seed(seed, real=real, folder=folder, options=options))
            _print(outcome)
            if not outcome.ok:
                failed.append(f"SEED={seed} LOAD={'real' if real else 'random'}")
    if failed:
        bug = f" BUG={options.bug}" if options.bug else ""
        print(f"chaos: FAILED; repeat with: make chaos {failed[0]}{bug}")
    return 1 if failed else 0


async def _seed(seed: int, *, real: bool, folder: Path, options: argparse.Namespace) -> Outcome:
    load = "real" if real else "random"
    events = options.events or (REAL_EVENTS if real else RANDOM_EVENTS)
    print(f"chaos: seed={seed} load={load} events={events}", flush=True)
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"chaos: {time.monotonic() - started:6.1f} s  {text}", flush=True)

    return await run(
        Options(
            seed=seed,
            real=real,
            events=events,
            folder=folder / f"{load}-{seed}",
            app=BUGS[options.bug] if options.bug else "tools.chaos.app",
            longest_fault_s=options.longest_fault,
        ),
        say,
    )


def _print(outcome: Outcome) -> None:
    for finding in outcome.report.findings:
        print(f"chaos:   {finding}")
    for complaint in outcome.complaints:
        print(f"chaos:   unclean end: {complaint}")
    for ended in outcome.excused:
        print(f"chaos:   note: {ended}")
    print(
        f"chaos:   simulated={outcome.report.simulated} of which also real={outcome.report.mixed}; "
        f"index troubled {outcome.troubled} requests, fallback topic refused {outcome.refused}; "
        f"took {outcome.seconds:.0f} s, the last {outcome.settle_s:.0f} s without faults"
    )
    print(outcome.report.line(outcome.max_rss_mb), flush=True)


def _overload(options: argparse.Namespace, folder: Path) -> int:
    left, number, failed = options.events, 0, 0
    while left > 0:
        number += 1
        measured = asyncio.run(
            piece(
                folder / f"piece-{number}",
                min(options.piece, left),
                options.bytes,
                threads=options.threads,
                in_flight_mb=options.in_flight_mb,
            )
        )
        print(measured.line(), flush=True)
        failed += not measured.ok
        left -= options.piece
    return 1 if failed else 0


def _soak(options: argparse.Namespace, folder: Path) -> int:
    soaked = asyncio.run(
        soaking.soak(
            folder,
            minutes=options.minutes,
            rate=options.rate,
            real=options.load == "real",
            say=lambda text: print(f"soak: {text}", flush=True),
        )
    )
    written = soaking.write(soaked, folder)
    print(f"soak: wrote {', '.join(map(str, written))}")
    if len(written) == 1:
        print("soak: no plot without matplotlib: pip install 'facestream[bench]'")
    print(soaked.line(), flush=True)
    return 0 if soaked.ok else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.chaos", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    chaos = commands.add_parser("chaos", help="inject faults drawn from a seed, then audit")
    chaos.set_defaults(run=_chaos)
    chaos.add_argument("--seeds", type=int, default=2, help="number of seeds, from a random one on")
    chaos.add_argument("--seed", type=int, help="run only this seed")
    chaos.add_argument("--load", choices=LOADS, default="both")
    chaos.add_argument("--events", type=int, help="events of a run (2,000 real, 20,000 random)")
    chaos.add_argument("--longest-fault", type=float, default=60.0, help="seconds")
    chaos.add_argument("--bug", choices=BUGS, help="run workers with this bug")

    overload = commands.add_parser("overload", help="measure memory under a large backlog")
    overload.set_defaults(run=_overload)
    overload.add_argument("--events", type=int, default=100_000)
    overload.add_argument("--piece", type=int, default=10_000, help="events per broker")
    overload.add_argument("--bytes", type=int, default=100_000, help="size of a picture")
    overload.add_argument("--threads", type=int, default=2, help="inference threads")
    overload.add_argument("--in-flight-mb", type=int, default=128)

    soak = commands.add_parser("soak", help="sample a worker under a long steady load")
    soak.set_defaults(run=_soak)
    soak.add_argument("--minutes", type=float, default=30.0)
    soak.add_argument("--rate", type=float, default=20.0, help="events per second")
    soak.add_argument("--load", choices=("real", "random"), default="real")

    for command in (chaos, overload, soak):
        command.add_argument("--folder", type=Path, help="folder for logs and results")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""``python -m tools.fuzz``: any number of hostile inputs; see ``make fuzz``."""

from __future__ import annotations

import argparse
import faulthandler
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from tools.fuzz import codec, decoder
from tools.fuzz.handler import handler, loaded_pipeline
from tools.fuzz.memory import rss_mb
from tools.fuzz.run import Part

INPUTS = 100_000
#: Shares of the inputs; the rest goes to the handler.
CODEC_SHARE, DECODER_SHARE = 0.35, 0.5
#: Growth of the process after the first inputs of a part.
MAX_GROWTH_MB = 200.0
WARM_UP = 500
#: An input hangs when there is no output for this long.
SILENCE_S = 900.0


def main(arguments: list[str] | None = None) -> int:
    """Run the fuzzer. The exit status is 0 when it found nothing."""
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=INPUTS)
    parser.add_argument("--seed", type=int, help="default: a random one")
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10_000)
    with tempfile.TemporaryDirectory(prefix="facestream-fuzz-") as folder:
        return fuzz(options.inputs, seed, Path(folder))


def fuzz(inputs: int, seed: int, folder: Path) -> int:
    """Run all three parts; return 1 when one found something, else 0."""
    started = time.monotonic()
    crashes = quiet_native_libraries(folder / "stderr")

    def say(text: str) -> None:
        faulthandler.dump_traceback_later(SILENCE_S, exit=True, file=crashes)
        print(f"fuzz: {time.monotonic() - started:6.1f} s  {text}", flush=True)

    say(f"seed={seed} inputs={inputs}")
    with handler(loaded_pipeline(folder / "prepared"), folder) as whole:
        parts: list[Part[Any]] = [
            Part("codec", codec.inputs, codec.check),
            Part("decoder", decoder.inputs, decoder.check),
            Part("handler", whole.inputs, whole.check),
        ]
        shares = [int(inputs * CODEC_SHARE), int(inputs * DECODER_SHARE)]
        for part, share in zip(parts, [*shares, inputs - sum(shares)], strict=True):
            _run(part, share, seed, say)
    faulthandler.cancel_dump_traceback_later()
    say(
        "handler outcomes: "
        + ", ".join(f"{outcome} {n}" for outcome, n in sorted(whole.outcomes.items()))
    )
    failures = sum(len(part.failures) for part in parts)
    print(
        f"fuzz: inputs={sum(part.count for part in parts)} "
        + "".join(f"{part.name}={part.count} " for part in parts)
        + f"failures={failures} max_rss_mb={max(part.peak_mb for part in parts):.0f}",
        flush=True,
    )
    if failures:
        print(f"fuzz: FAILED; repeat with: make fuzz INPUTS={inputs} SEED={seed}")
    return 1 if failures else 0


def _run(part: Part[Any], inputs: int, seed: int, say: Callable[[str], None]) -> None:
    part.run(min(WARM_UP, inputs), seed, say)
    warm = rss_mb()
    part.run(inputs, seed + 1, say)
    grown = rss_mb() - warm
    say(
        f"{part.name} {part.count} inputs, {len(part.failures)} failures; the slowest took "
        f"{part.slowest_s:.2f} s of processor time; grew by {grown:.0f} MB, "
        f"at most {part.largest_mb:.0f} MB during one input"
    )
    if grown > MAX_GROWTH_MB:
        part.failures.append(f"grew by {grown:.0f} MB")


def quiet_native_libraries(into: Path) -> TextIO:
    """Redirect the warnings of C libraries into a file; return the old stderr, for crashes."""
    stderr = os.fdopen(os.dup(2), "w")
    faulthandler.enable(file=stderr)
    with into.open("wb") as file:
        os.dup2(file.fileno(), 2)
    return stderr


if __name__ == "__main__":
    sys.exit(main())

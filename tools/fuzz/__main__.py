"""``python -m tools.fuzz``: hostile input in any number; see ``make fuzz``."""

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
from typing import TextIO

from tools.fuzz import codec, decoder
from tools.fuzz.handler import handler, loaded_pipeline
from tools.fuzz.memory import rss_mb
from tools.fuzz.run import Part

INPUTS = 100_000
#: Of all inputs; the rest goes through the whole handler.
CODEC_SHARE, DECODER_SHARE = 0.35, 0.5
#: How much the process may grow once each part has had its first inputs.
MOST_GROWTH_MB = 200.0
WARM_UP = 500
#: Nothing said for so long means that an input hangs.
SILENCE_S = 900.0


def main(arguments: list[str] | None = None) -> int:
    """Fuzz; the exit status is 0 when nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=INPUTS)
    parser.add_argument("--seed", type=int, help="a random one unless given")
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10_000)
    with tempfile.TemporaryDirectory(prefix="facestream-fuzz-") as folder:
        return fuzz(options.inputs, seed, Path(folder))


def fuzz(inputs: int, seed: int, folder: Path) -> int:
    """All three parts, one after the other. 1 when something was found, else 0."""
    started = time.monotonic()
    crashes = quiet_native_libraries(folder / "stderr")

    def say(text: str) -> None:
        faulthandler.dump_traceback_later(SILENCE_S, exit=True, file=crashes)
        print(f"fuzz: {time.monotonic() - started:6.1f} s  {text}", flush=True)

    say(f"seed={seed} inputs={inputs}")
    with handler(loaded_pipeline(folder / "prepared"), folder) as whole:
        parts = [
            Part("codec", codec.inputs, codec.check),
            Part("decoder", decoder.inputs, decoder.check),
            Part("handler", whole.inputs, whole.check),
        ]
        shares = [int(inputs * CODEC_SHARE), int(inputs * DECODER_SHARE)]
        for part, share in zip(parts, [*shares, inputs - sum(shares)], strict=True):
            _run(part, share, seed, say)
    faulthandler.cancel_dump_traceback_later()
    say("handler ends: " + ", ".join(f"{end} {n}" for end, n in sorted(whole.ends.items())))
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


def _run(part: Part, inputs: int, seed: int, say: Callable[[str], None]) -> None:
    part.run(min(WARM_UP, inputs), seed, say)
    warm = rss_mb()
    part.run(inputs, seed + 1, say)
    grown = rss_mb() - warm
    say(
        f"{part.name} {part.count} inputs, {len(part.failures)} failures; the slowest took "
        f"{part.slowest_s:.2f} s of processor time; grew by {grown:.0f} MB, "
        f"at most {part.largest_mb:.0f} MB with one input"
    )
    if grown > MOST_GROWTH_MB:
        part.failures.append(f"grew by {grown:.0f} MB")


def quiet_native_libraries(into: Path) -> TextIO:
    """Send what C libraries say of damaged pictures into a file; answers the old stderr, where a
    crash is told."""
    stderr = os.fdopen(os.dup(2), "w")
    faulthandler.enable(file=stderr)
    with into.open("wb") as file:
        os.dup2(file.fileno(), 2)
    return stderr


if __name__ == "__main__":
    sys.exit(main())

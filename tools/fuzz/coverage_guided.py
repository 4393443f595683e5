"""The codec under atheris, which looks for inputs that reach new lines of ours.

It is run in a process of its own, as it never returns: ``python -m tools.fuzz.coverage_guided``
with libFuzzer's options. Atheris has no wheels for macOS, so it is in no lock.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

from tools.example_messages import examples

RUNS = 20_000


def why_not() -> str | None:
    """Why it cannot run here; None where it can."""
    if importlib.util.find_spec("atheris") is None:
        return "not installed, and in no lock as it has no wheels for macOS; pip install atheris"
    return None


def run(folder: Path, seed: int, runs: int = RUNS) -> subprocess.CompletedProcess[str]:
    """``runs`` inputs, from the examples on; its corpus goes into ``folder``."""
    corpus = folder / "corpus"
    corpus.mkdir()
    for topic in ("image-submitted", "scored-face"):
        for kind in ("v1", "invalid"):
            for number, one in enumerate(examples(topic, kind)):
                (corpus / f"{topic}-{kind}-{number}").write_bytes(one.value or b"")
    # libFuzzer takes 0 for a random seed.
    options = [f"-atheris_runs={runs}", f"-seed={seed + 1}", "-max_len=8192", "-rss_limit_mb=1024"]
    options += ["-timeout=10", f"-artifact_prefix={folder}/"]
    return subprocess.run(
        [sys.executable, "-m", "tools.fuzz.coverage_guided", *options, str(corpus)],
        capture_output=True,
        text=True,
        check=False,
    )


def _main() -> None:
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["schemas"]):
        codec = importlib.import_module("tools.fuzz.codec")
        message = importlib.import_module("tools.fuzz.hostile_events").Message

    def one(data: bytes) -> None:
        value, _, headers = data.partition(b"\xff\xff")
        parts = [part.partition(b"=") for part in headers.split(b"\xff") if part]
        named = tuple((name.decode(errors="replace"), text) for name, _, text in parts)
        codec.check([message(value, None, named), message(value, b"user-1", ()), value])

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    _main()

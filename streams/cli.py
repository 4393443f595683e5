"""``facestream`` is short for ``faust -A streams.app``."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import NoReturn

from faust.cli.faust import cli


def main() -> NoReturn:
    """Run a command of the app."""
    # Faust looks for -A in sys.argv itself, so it has to be put there.
    sys.argv[1:1] = ["-A", "streams.app"]
    if sys.argv[3:] == ["--version"]:
        print(f"facestream {version('facestream')}")
        raise SystemExit(0)
    cli(prog_name="facestream")
    raise SystemExit(0)  # click has already left; this is for the reader and the type checker


if __name__ == "__main__":
    main()

"""``facestream`` is short for ``faust -A streams.app``."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import NoReturn

from faust.cli.faust import cli

HELP = """Score faces in pictures on a Kafka stream.

facestream COMMAND is short for faust -A streams.app COMMAND. Settings come from the environment,
and from the file that ENV_FILE names.
"""

#: Faust's commands that say something about this app. The others are about tables, which it has
#: none of, or send what no record of ours would; they can still be called.
OF_FAUST = frozenset({"worker", "agents", "completion"})


def main() -> NoReturn:
    """Run a command of the app."""
    # Faust looks for -A in sys.argv itself, so it has to be put there.
    sys.argv[1:1] = ["-A", "streams.app"]
    if sys.argv[3:] == ["--version"]:
        print(f"facestream {version('facestream')}")
        raise SystemExit(0)
    cli.help = HELP
    # Known before the app is imported: these are Faust's own, ours come with the app.
    for name, command in cli.commands.items():
        command.hidden = name not in OF_FAUST
    cli(prog_name="facestream")
    raise SystemExit(0)  # click has already left; this is for the reader and the type checker


if __name__ == "__main__":
    main()

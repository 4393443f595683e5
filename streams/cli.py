"""The command ``facestream``: short for ``faust -A streams.app``."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import NoReturn

from faust.cli.faust import cli

HELP = """Score faces in pictures on a Kafka stream.

facestream COMMAND is short for faust -A streams.app COMMAND. Settings come from the environment,
and from the file that ENV_FILE names.
"""

#: Faust's commands that ``--help`` lists. The others concern tables, which this app does not have,
#: or send messages that no topic here accepts; they are hidden but still work.
SHOWN_FAUST_COMMANDS = frozenset({"worker", "agents", "completion"})


def main() -> NoReturn:
    """Run the command that ``sys.argv`` names."""
    # Faust reads -A from sys.argv.
    sys.argv[1:1] = ["-A", "streams.app"]
    if sys.argv[3:] == ["--version"]:
        print(f"facestream {version('facestream')}")
        raise SystemExit(0)
    cli.help = HELP
    # Before the app is imported, only Faust's own commands are registered.
    for name, command in cli.commands.items():
        command.hidden = name not in SHOWN_FAUST_COMMANDS
    cli(prog_name="facestream")
    raise SystemExit(0)  # not reached: click exits itself


if __name__ == "__main__":
    main()

"""What every command of ours shares."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, NoReturn

from faust.cli.base import AppCommand
from rich.console import Console

from models.errors import ModelsError
from streams.config.removed_settings import removed_settings
from streams.config.settings import Settings
from streams.config.unknown_settings import unknown_settings
from streams.errors import StreamsError

#: What the widest of our tables needs.
TABLE_WIDTH = 132


class FacestreamCommand(AppCommand):  # type: ignore[misc]  # faust ships no usable hints
    """A command that runs one coroutine and ends with its exit status.

    Faust's own base runs commands inside a worker with its logging and signals; a client needs
    neither. An error of ours is printed as one line, not as a traceback.
    """

    abstract: ClassVar[bool] = True

    #: The command's work: takes its options by name, returns the exit status.
    main: Callable[..., Coroutine[Any, Any, int]]

    @property
    def settings(self) -> Settings:
        """The settings of the app."""
        settings: Settings = self.app.settings
        return settings

    @property
    def console(self) -> Console:
        """Where people read: standard output.

        Never narrower than our tables: a line that the terminal wraps loses nothing, a column
        that rich leaves out does.
        """
        console = Console(file=sys.stdout, highlight=False)
        console.width = max(console.width, TABLE_WIDTH)
        return console

    @property
    def notes(self) -> Console:
        """Where progress and remarks go: standard error, so that output stays clean."""
        return Console(file=sys.stderr, highlight=False, soft_wrap=True)

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        # A closed terminal or a `kill` ends a command as Ctrl-C does: what it started ends with it.
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler)
        for ignored in (*unknown_settings(), *removed_settings()):
            self.notes.print(f"facestream: {ignored}", style="yellow", markup=False)
        try:
            status = asyncio.run(self.main(**{**self.kwargs, **kwargs}))
        except (StreamsError, ModelsError) as error:
            self.notes.print(f"facestream: {error}", style="red", markup=False)
            status = 1
        except KeyboardInterrupt:
            status = 130
        except BrokenPipeError:
            # The reader of our output has gone (`facestream results | head`).
            sys.stdout = None
            status = 0
        raise SystemExit(status)

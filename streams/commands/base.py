"""The base class of every command."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import ClassVar, NoReturn

from faust.cli.base import AppCommand
from rich.console import Console

from models.errors import ModelsError
from streams.config.removed_settings import removed_settings
from streams.config.settings import Settings
from streams.config.unknown_settings import unknown_settings
from streams.errors import StreamsError

#: The width of the widest table, in characters.
TABLE_WIDTH = 132


class FacestreamCommand(AppCommand):  # type: ignore[misc]  # faust ships no usable hints
    """A command that runs one coroutine and ends with its exit status.

    Faust's base class runs commands inside a worker, with its logging and signal handlers, which a
    client does not need. An expected error is printed as one line, without a traceback.
    """

    abstract: ClassVar[bool] = True

    #: The work of the command: takes its options by name, returns the exit status.
    main: Callable[..., Coroutine[object, object, int]]

    @property
    def settings(self) -> Settings:
        """The settings of the app."""
        settings: Settings = self.app.settings
        return settings

    @property
    def console(self) -> Console:
        """Standard output, for tables and other text for people.

        Never narrower than ``TABLE_WIDTH``: in a narrower console rich drops columns, while a long
        line that the terminal wraps stays complete.
        """
        console = Console(file=sys.stdout, highlight=False)
        console.width = max(console.width, TABLE_WIDTH)
        return console

    @property
    def notes(self) -> Console:
        """Standard error, for progress, remarks and errors."""
        return Console(file=sys.stderr, highlight=False, soft_wrap=True)

    def __call__(self, *args: object, **kwargs: object) -> NoReturn:
        # A closed terminal and ``kill`` act like Ctrl-C, so that child processes end as well.
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
            # The process that reads the output has ended (``facestream results | head``).
            sys.stdout = None
            status = 0
        raise SystemExit(status)

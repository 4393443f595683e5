"""Ending the process: with a clear message at start, and within a deadline at stop."""

from __future__ import annotations

import os
import sys
import threading
from typing import NoReturn

#: EX_CONFIG of sysexits.h: something must be put right before a start can succeed.
EXIT_CANNOT_START = 78
#: EX_SOFTWARE of sysexits.h: the stop took longer than it may.
EXIT_STOP_TOOK_TOO_LONG = 70


def die(error: Exception) -> NoReturn:
    """Print why the worker cannot start, and end the process.

    Nothing is drained: events that the worker holds are not acknowledged and are read again by
    another worker. This can happen late: an index that comes back after an outage may belong to
    other models. Stopping through Faust would bury the message under a traceback from every
    service.
    """
    print(f"facestream cannot start: {error}", file=sys.__stderr__, flush=True)
    os._exit(EXIT_CANNOT_START)


def arm_hard_exit(timeout_s: float, limit: str = "DRAIN_TIMEOUT_S plus 20 s") -> None:
    """End the process when the stop that begins now takes longer than ``timeout_s``.

    ``limit`` names the setting behind that number. Events that are not acknowledged by then are
    processed again by the partitions' next owners.
    """

    def exit_now() -> None:
        print(
            f"facestream: the stop took longer than {timeout_s:.0f} s ({limit}); exiting",
            file=sys.__stderr__,
            flush=True,
        )
        os._exit(EXIT_STOP_TOOK_TOO_LONG)

    timer = threading.Timer(timeout_s, exit_now)
    timer.daemon = True
    timer.start()

"""Child processes that do not outlive us, whatever ends us."""

from __future__ import annotations

import ctypes
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h

# Loaded here, as nothing should be loaded between fork and exec.
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def end_with_parent() -> None:
    """For ``preexec_fn``: the child is sent SIGTERM when its parent dies, kill -9 included.

    On Linux; elsewhere only an orderly end of the parent ends the child.
    """
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

"""Child processes end with their parent, also when the parent is killed."""

from __future__ import annotations

import ctypes
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h

# Loaded at import: nothing should be loaded between fork and exec.
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def end_with_parent() -> None:
    """Make the child get SIGTERM when its parent dies, even by SIGKILL; for ``preexec_fn``.

    On Linux only; elsewhere a parent that is killed leaves the child running.
    """
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

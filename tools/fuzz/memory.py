"""The resident memory of this process, now and at its peak."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # proc(5): resets the peak


def rss_mb() -> float:
    """Return the resident memory in MB, or its peak where the system reports no other."""
    return _status("VmRSS")


def peak_rss_mb() -> float:
    """Return the peak of the resident memory since the last reset, in MB."""
    # From /proc where it exists: getrusage starts at the parent's peak.
    return _status("VmHWM")


def reset_peak() -> None:
    """Reset the peak to the current size, where the system supports it."""
    with suppress(OSError):
        _CLEAR.write_text(_RESET_PEAK)


def _status(name: str) -> float:
    if _STATUS.exists():
        text = _STATUS.read_text()
        return int(text[text.index(f"{name}:") :].split(None, 2)[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)

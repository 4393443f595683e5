"""What this process holds in memory, now and at most."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # proc(5): the peak becomes what is resident now


def rss_mb() -> float:
    """Resident now, in MB; where only the peak is known, the peak."""
    return _status("VmRSS")


def peak_rss_mb() -> float:
    """The most that was resident since the last reset, in MB."""
    # Linux's own figure for the process: getrusage would start with that of the parent.
    return _status("VmHWM")


def reset_peak() -> None:
    """Forget the peak, where the system can."""
    with suppress(OSError):
        _CLEAR.write_text(_RESET_PEAK)


def _status(name: str) -> float:
    if _STATUS.exists():
        text = _STATUS.read_text()
        return int(text[text.index(f"{name}:") :].split(None, 2)[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)

"""The memory, threads and open files of another process."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Usage:
    """Resident memory in MB; threads and open files are 0 where only ``ps`` is available."""

    rss_mb: float
    threads: int = 0
    open_files: int = 0


def usage(pid: int) -> Usage | None:
    """Return what the process uses now, or None when it has ended."""
    folder = Path(f"/proc/{pid}")
    if not Path("/proc/self/status").exists():
        return _by_ps(pid)
    try:
        lines = (folder / "status").read_text().splitlines()
        files = len(list((folder / "fd").iterdir()))
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    if "VmRSS" not in fields:  # ended, and not yet waited for
        return None
    return Usage(int(fields["VmRSS"].split()[0]) / 1024, int(fields["Threads"]), files)


def _by_ps(pid: int) -> Usage | None:
    shown = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return Usage(int(shown.stdout) / 1024) if shown.stdout.strip() else None

"""Sample the CPU time and memory of other processes."""

from __future__ import annotations

import bisect
import statistics
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import TracebackType

import psutil

EVERY_S = 0.1


@dataclass
class Trace:
    """CPU time and memory of one process at each sample; times in seconds since the epoch."""

    at: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)

    def cpu_until(self, moment: float) -> float:
        """Return the CPU seconds (user and system, all threads) up to a time, interpolated."""
        index = bisect.bisect_left(self.at, moment)
        if index == 0:
            return self.cpu_s[0] if self.cpu_s else 0.0
        if index == len(self.at):
            return self.cpu_s[-1]
        before, after = self.at[index - 1], self.at[index]
        share = (moment - before) / (after - before)
        return self.cpu_s[index - 1] + share * (self.cpu_s[index] - self.cpu_s[index - 1])

    def rss_between(self, start: float, end: float) -> float:
        """Return the median resident memory of a time span, MB."""
        low, high = bisect.bisect_left(self.at, start), bisect.bisect_right(self.at, end)
        return statistics.median(self.rss_mb[low:high] or self.rss_mb[-1:] or [0.0])


class Watch:
    """Samples processes in a thread while the block runs."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._processes = {pid: psutil.Process(pid) for pid in pids}
        self.traces = {pid: Trace() for pid in self._processes}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="watch", daemon=True)

    def cpu_between(self, start: float, end: float) -> float:
        """Return the CPU seconds of all processes in a time span."""
        return sum(one.cpu_until(end) - one.cpu_until(start) for one in self.traces.values())

    def rss_between(self, start: float, end: float) -> float:
        """Return the resident memory of all processes in a time span, MB."""
        return sum(one.rss_between(start, end) for one in self.traces.values())

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._ended.wait(EVERY_S):
            for pid, process in self._processes.items():
                try:
                    with process.oneshot():
                        cpu, memory = process.cpu_times(), process.memory_info()
                except psutil.Error:
                    continue  # the process has ended; its samples remain
                trace = self.traces[pid]
                trace.at.append(time.time())
                trace.cpu_s.append(cpu.user + cpu.system)
                trace.rss_mb.append(memory.rss / 2**20)

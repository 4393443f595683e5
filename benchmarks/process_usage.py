"""CPU time and memory of processes, watched from outside."""

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
    """What one process had used at each moment; seconds since the epoch."""

    at: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)

    def cpu_until(self, moment: float) -> float:
        """CPU seconds of all its threads (user and system) up to a moment, interpolated."""
        index = bisect.bisect_left(self.at, moment)
        if index == 0:
            return self.cpu_s[0] if self.cpu_s else 0.0
        if index == len(self.at):
            return self.cpu_s[-1]
        before, after = self.at[index - 1], self.at[index]
        share = (moment - before) / (after - before)
        return self.cpu_s[index - 1] + share * (self.cpu_s[index] - self.cpu_s[index - 1])

    def rss_between(self, start: float, end: float) -> float:
        """The median resident memory in MB over a span."""
        low, high = bisect.bisect_left(self.at, start), bisect.bisect_right(self.at, end)
        return statistics.median(self.rss_mb[low:high] or self.rss_mb[-1:] or [0.0])


class Watch:
    """Samples processes in a thread of its own while the block runs."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._processes = {pid: psutil.Process(pid) for pid in pids}
        self.traces = {pid: Trace() for pid in self._processes}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="watch", daemon=True)

    def cpu_between(self, start: float, end: float) -> float:
        """CPU seconds of all of them over a span."""
        return sum(one.cpu_until(end) - one.cpu_until(start) for one in self.traces.values())

    def rss_between(self, start: float, end: float) -> float:
        """Resident memory of all of them in MB, over a span."""
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
                    continue  # it has ended; what is known of it stays
                trace = self.traces[pid]
                trace.at.append(time.time())
                trace.cpu_s.append(cpu.user + cpu.system)
                trace.rss_mb.append(memory.rss / 2**20)

"""Simulate partitions, workers and an autoscaler that follows the lag, second by second.

Queue lengths are computed, not single events: at hundreds per second the difference is small. In
the model users are hashed to partitions, a partition has one worker, each rebalance stops the
group for a moment, and new workers take time to start.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Rate = Callable[[float], float]
"""Events per second as a function of the time in seconds."""


@dataclass(frozen=True)
class Autoscaler:
    """The autoscaler of ``deploy/kubernetes/scaled-object.yaml``.

    Its second trigger, the lag of the index, is left out: the index is assumed to keep up. The lag
    is not capped by the number of partitions (``allowIdleConsumers``).
    """

    least: int = 3
    most: int = 24
    lag_threshold: int = 1000
    every_s: int = 15
    up_by: int = 4
    up_every_s: int = 60
    up_after_s: int = 30
    down_every_s: int = 120
    down_after_s: int = 300
    starts_in_s: int = 20
    tolerance: float = 0.1

    def wanted(self, lag: float, have: int) -> int:
        """Return the wanted workers for a lag, rounded like the Kubernetes autoscaler."""
        if abs(lag / (self.lag_threshold * have) - 1) <= self.tolerance:
            return have
        return min(self.most, max(self.least, math.ceil(lag / self.lag_threshold)))


@dataclass(frozen=True)
class Group:
    """A consumer group; ``per_worker``: images per second; ``rebalance_s``: pause per change."""

    per_worker: float
    partitions: int = 24
    rebalance_s: int = 5
    users: int = 10_000


@dataclass
class Course:
    """The result of a simulation, a value per second."""

    lag: list[float] = field(default_factory=list)
    workers: list[int] = field(default_factory=list)
    longest_wait_s: list[float] = field(default_factory=list)
    """Lag over arrivals per second, of the partition furthest behind."""


def shares(group: Group, seed: int = 0) -> NDArray[np.float64]:
    """Return each partition's share of the events, (partitions,): users hashed, equally busy."""
    rng = np.random.default_rng(seed)
    counts = np.bincount(rng.integers(0, group.partitions, group.users), minlength=group.partitions)
    return np.asarray(counts / counts.sum(), np.float64)


def busiest(group: Group, workers: int, rounds: int = 50) -> float:
    """Return the load of the busiest worker over the mean."""
    owners = np.arange(group.partitions) % workers
    found = [
        np.bincount(owners, shares(group, seed), minlength=workers).max() * workers
        for seed in range(rounds)
    ]
    return float(np.median(found))


def simulate(group: Group, rate: Rate, seconds: int, scaler: Autoscaler) -> Course:
    """Simulate, starting with the minimum of workers and no lag."""
    share, queue = shares(group), np.zeros(group.partitions)
    course, workers, stopped_until = Course(), scaler.least, 0
    coming: list[int] = []
    # The wanted workers of the latest checks; before the first check it is the minimum.
    wanted = [scaler.least] * (scaler.up_after_s // scaler.every_s)
    last_up = last_down = -scaler.down_every_s
    for second in range(seconds):
        queue += rate(second) * share
        arrived = sum(at <= second for at in coming)
        if arrived:
            coming = [at for at in coming if at > second]
            workers, stopped_until = workers + arrived, second + group.rebalance_s
        if second >= stopped_until:
            _work(queue, workers, group.per_worker)
        lag = float(queue.sum())
        if second % scaler.every_s == 0:
            have = workers + len(coming)
            wanted.append(scaler.wanted(lag, have))
            # Scale up to the lowest recent recommendation, down to the highest.
            more = min(wanted[-1 - scaler.up_after_s // scaler.every_s :])
            fewer = max(wanted[-1 - scaler.down_after_s // scaler.every_s :])
            if more > have and second - last_up >= scaler.up_every_s:
                coming += [second + scaler.starts_in_s] * min(scaler.up_by, more - have)
                last_up = second
            elif fewer < have and second - last_down >= scaler.down_every_s and not coming:
                workers, last_down = workers - 1, second
                stopped_until = second + group.rebalance_s
        course.lag.append(lag)
        course.workers.append(workers)
        course.longest_wait_s.append(float((queue / np.maximum(rate(second) * share, 1e-9)).max()))
    return course


def _work(queue: NDArray[np.float64], workers: int, per_worker: float) -> None:
    """Simulate one second: a worker serves its partitions in proportion to their queues."""
    owners = np.arange(len(queue)) % workers
    held = np.bincount(owners, queue, minlength=workers)
    taken = np.minimum(1.0, np.divide(per_worker, held, out=np.ones(workers), where=held > 0))
    queue *= 1.0 - taken[owners]

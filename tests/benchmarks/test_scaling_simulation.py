"""The simulation and the sizing of ``docs/scaling.md``, in cases with a known result."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.capacity import EventCost, needs, qdrant_gb
from benchmarks.scaling_simulation import Autoscaler, Group, busiest, simulate

EVEN = Group(per_worker=100, partitions=24, users=2_000_000)


def test_a_load_within_capacity_causes_no_lag() -> None:
    """The number of workers does not change."""
    course = simulate(EVEN, lambda _: 280.0, 600, Autoscaler(least=3))
    assert max(course.lag) < 10
    assert {3} == set(course.workers)


def test_the_number_of_workers_follows_the_lag() -> None:
    """A load that needs ten workers ends with about ten."""
    course = simulate(EVEN, lambda _: 1000.0, 3600, Autoscaler())
    assert 9 <= min(course.workers[-600:]) <= max(course.workers[-600:]) <= 15
    assert max(course.lag[-600:]) < max(course.lag[:1800])


def test_the_autoscaler_ignores_a_difference_of_a_tenth() -> None:
    """This is the default tolerance of Kubernetes."""
    scaler = Autoscaler(lag_threshold=1000)
    assert 10 == scaler.wanted(10_900, have=10)
    assert 12 == scaler.wanted(11_200, have=10)
    assert 9 == scaler.wanted(8_900, have=10)


def test_a_short_rise_adds_no_worker() -> None:
    """Each check of the last half minute must recommend more workers.

    By hand: the lag is 5,500 at the check in second 30, and 1,000 at the next.
    """

    def rise(second: float) -> float:
        return 1000.0 if 16 <= second < 26 else 0.0

    assert {3} == set(simulate(EVEN, rise, 600, Autoscaler()).workers)
    assert max(simulate(EVEN, rise, 600, Autoscaler(up_after_s=0)).workers) > 3


def test_the_longest_wait_is_that_of_the_partition_furthest_behind() -> None:
    """By hand: one of 23 workers has two of 24 partitions.

    It gets 150 events per second and can do 100. After an hour its lag is 180,000, which is 20
    minutes of its arrivals.
    """
    scaler = Autoscaler(least=23, most=23)
    course = simulate(EVEN, lambda _: 1800.0, 3600, scaler)
    assert course.lag[-1] == pytest.approx(180_000, rel=0.05)
    assert course.longest_wait_s[-1] == pytest.approx(1200, rel=0.05)


def test_a_load_beyond_the_maximum_of_workers_grows_the_lag() -> None:
    """The number of partitions limits the workers."""
    course = simulate(EVEN, lambda _: 3000.0, 1800, Autoscaler())
    assert 24 == course.workers[-1]
    assert course.lag[-1] > course.lag[-2] > 100_000


def test_a_number_of_workers_that_does_not_divide_the_partitions_is_uneven() -> None:
    """With 24 partitions and 20 workers some have two partitions and others one."""
    assert busiest(EVEN, 12) == pytest.approx(1.0, abs=0.02)
    assert busiest(EVEN, 20) == pytest.approx(2 / 24 * 20, abs=0.05)


def test_the_needs_of_a_load() -> None:
    """By hand: 1,000 images/s of 21 CPU-ms use 21 cores, 30 at 70 % utilisation."""
    cost = EventCost(cpu_ms=21, models_ms=20, picture_kb=76, answer_kb=4)
    need = needs(1000, cost)
    assert (30, 15, 30) == (need.cores, need.workers, need.partitions)
    assert (76, 84, 240) == (need.in_mb_s, need.out_mb_s, need.broker_write_mb_s)
    assert 20.736 == pytest.approx(need.disk_tb)
    assert cost.most_threads is None
    assert 25 == replace(cost, stream_ms=0.8).most_threads
    assert 3 == need.brokers
    assert 24 == needs(10_000, cost).brokers
    assert 0.768 == pytest.approx(qdrant_gb(1e6, 128))

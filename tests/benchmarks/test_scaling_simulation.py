"""The queues and the autoscaler of docs/scaling.md, where the answer is known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.capacity import EventCost, needs, qdrant_gb
from benchmarks.scaling_simulation import Autoscaler, Group, busiest, simulate

EVEN = Group(per_worker=100, partitions=24, users=2_000_000)


def test_what_the_workers_can_do_makes_no_lag() -> None:
    """And so brings no further worker."""
    course = simulate(EVEN, lambda _: 280.0, 600, Autoscaler(least=3))
    assert max(course.lag) < 10
    assert {3} == set(course.workers)


def test_workers_follow_the_lag_and_hold_it() -> None:
    """Ten workers' worth of load ends with about ten workers, and lag that asks for them."""
    course = simulate(EVEN, lambda _: 1000.0, 3600, Autoscaler())
    assert 9 <= min(course.workers[-600:]) <= max(course.workers[-600:]) <= 15
    assert max(course.lag[-600:]) < max(course.lag[:1800])


def test_within_a_tenth_of_what_it_has_the_autoscaler_keeps_it() -> None:
    """As Kubernetes does, by its default."""
    scaler = Autoscaler(lag_threshold=1000)
    assert 10 == scaler.wanted(10_900, have=10)
    assert 12 == scaler.wanted(11_200, have=10)
    assert 9 == scaler.wanted(8_900, have=10)


def test_a_short_rise_brings_no_worker() -> None:
    """The lag must ask for more at every look of half a minute, from the first on. By hand: 5,500
    are behind at the look in second 30, and 1,000 at the next."""

    def rise(second: float) -> float:
        return 1000.0 if 16 <= second < 26 else 0.0

    assert {3} == set(simulate(EVEN, rise, 600, Autoscaler()).workers)
    assert max(simulate(EVEN, rise, 600, Autoscaler(up_after_s=0)).workers) > 3


def test_the_partition_that_is_furthest_behind_is_told() -> None:
    """By hand: of 23 workers one has two of the 24 partitions, 150 events a second where it can do
    100. In an hour it is 180,000 behind, 20 minutes of what comes to it."""
    scaler = Autoscaler(least=23, most=23)
    course = simulate(EVEN, lambda _: 1800.0, 3600, scaler)
    assert course.lag[-1] == pytest.approx(180_000, rel=0.05)
    assert course.longest_wait_s[-1] == pytest.approx(1200, rel=0.05)


def test_more_than_the_most_workers_can_do_grows() -> None:
    """The limit is the partitions'."""
    course = simulate(EVEN, lambda _: 3000.0, 1800, Autoscaler())
    assert 24 == course.workers[-1]
    assert course.lag[-1] > course.lag[-2] > 100_000


def test_partitions_that_do_not_divide_load_one_worker_more() -> None:
    """24 partitions on 20 workers: some have two, others one."""
    assert busiest(EVEN, 12) == pytest.approx(1.0, abs=0.02)
    assert busiest(EVEN, 20) == pytest.approx(2 / 24 * 20, abs=0.05)


def test_the_arithmetic_of_a_load() -> None:
    """By hand: 1,000 images/s of 21 ms are 21 cores, 30 at 70 % use."""
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

"""A worker that ends by itself makes a run fail, with one excuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tools.chaos.audit import Audit
from tools.chaos.cluster import NEVER_CONNECTED, Cluster, Member
from tools.chaos.run import Outcome


class Ended:
    """A worker process that has ended by itself."""

    pid = 0

    def __init__(self, status: int, log_file: Path) -> None:
        self._status = status
        self.log_file = log_file

    def poll(self) -> int:
        return self._status

    def stop(self, _: float) -> int:
        return self._status

    def kill(self) -> None:
        """Do nothing: it has ended."""


def cluster_with(folder: Path, status: int, wrote: str) -> Cluster:
    """Return a cluster that does not run, with one worker that has ended."""
    cluster = Cluster(folder, {}, seed=1)
    log_file = folder / "worker-1.log"
    log_file.write_text(wrote)
    process: Any = Ended(status, log_file)
    cluster.members.append(Member(1, process))
    return cluster


def outcome_of(cluster: Cluster) -> Outcome:
    return Outcome(
        report=Audit().report({}),
        max_rss_mb=0,
        complaints=tuple(cluster.complaints),
        excused=tuple(cluster.excused),
        seconds=0,
        settle_s=0,
        refused=0,
        troubled=0,
    )


@pytest.mark.parametrize("status", [0, 1, 70, -9])
def test_a_worker_that_ends_by_itself_fails_the_run(status: int, tmp_path: Path) -> None:
    """Its status and the loss of events do not matter: an orchestrator would see a crash."""
    cluster = cluster_with(tmp_path, status, "Traceback (most recent call last):")
    cluster.watch(at_least=0)
    assert cluster.members == []
    assert cluster.complaints == [f"worker 1 ended by itself with {status}"]
    assert not outcome_of(cluster).ok


@pytest.mark.parametrize("fault", ["kill", "terminate"])
async def test_a_fault_for_a_worker_that_has_ended_does_not_hide_the_end(
    fault: str, tmp_path: Path
) -> None:
    """The watch runs once a second, and a fault may pick the worker in between."""
    cluster = cluster_with(tmp_path, 1, "Traceback (most recent call last):")
    await getattr(cluster, fault)(cluster.members[0])
    assert cluster.complaints == ["worker 1 ended by itself with 1"]
    assert not outcome_of(cluster).ok


def test_a_cut_first_connection_excuses_the_end(tmp_path: Path) -> None:
    """Faust does not retry it and ends with 1; the run notes that and continues."""
    cluster = cluster_with(tmp_path, 1, f"KafkaConnectionError: {NEVER_CONNECTED} [('127.0.0.1'")
    cluster.watch(at_least=0)
    assert cluster.complaints == []
    assert "first connection" in cluster.excused[0]
    assert outcome_of(cluster).ok


def test_the_excuse_requires_status_1(tmp_path: Path) -> None:
    """Status 70 is a stop that took too long."""
    cluster = cluster_with(tmp_path, 70, NEVER_CONNECTED)
    cluster.watch(at_least=0)
    assert cluster.complaints
    assert not outcome_of(cluster).ok

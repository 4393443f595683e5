"""A small part of the chaos suite, both loads; ``make chaos`` runs the long ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.chaos.run import Options, Outcome, run, young_group


def _explained(outcome: Outcome) -> str:
    lines = [outcome.report.line(outcome.max_rss_mb), *outcome.report.findings]
    return "\n".join([*lines, *outcome.complaints, *outcome.excused])


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("seed", "real", "events", "faults"),
    [pytest.param(1, False, 1500, 8, id="random"), pytest.param(2, True, 300, 5, id="real")],
)
async def test_nothing_is_lost_whatever_dies(
    seed: int, real: bool, events: int, faults: int, tmp_path: Path
) -> None:
    """Kill, stop, join, a network that goes away: every event is answered and indexed."""
    outcome = await run(
        Options(seed, real, events, tmp_path, longest_fault_s=8, most_faults=faults), print
    )
    assert outcome.ok, _explained(outcome)
    assert outcome.report.answered == events


@pytest.mark.timeout(240)
async def test_a_young_group_passes_nothing_over(tmp_path: Path) -> None:
    """Workers join one after the other while no offset is committed yet."""
    report, ended = await young_group(0, 1500, tmp_path)
    assert report.ok, (report.line(0), *report.findings, *ended)
    assert not ended

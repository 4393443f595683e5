"""Short chaos runs of both loads; ``make chaos`` runs long ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.chaos.run import Options, Outcome, run, young_group


def _described(outcome: Outcome) -> str:
    lines = [outcome.report.line(outcome.max_rss_mb), *outcome.report.findings]
    return "\n".join([*lines, *outcome.complaints, *outcome.excused])


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("seed", "real", "events", "faults"),
    [pytest.param(1, False, 1500, 8, id="random"), pytest.param(2, True, 300, 5, id="real")],
)
async def test_no_event_is_lost_under_faults(
    seed: int, real: bool, events: int, faults: int, tmp_path: Path
) -> None:
    """Every event is answered and indexed, whatever the faults."""
    outcome = await run(
        Options(seed, real, events, tmp_path, longest_fault_s=8, max_faults=faults), print
    )
    assert outcome.ok, _described(outcome)
    assert outcome.report.answered == events


@pytest.mark.timeout(240)
async def test_a_young_group_skips_no_event(tmp_path: Path) -> None:
    """Workers join one after the other before any offset is committed."""
    report, ended = await young_group(0, 1500, tmp_path)
    assert report.ok, (report.line(0), *report.findings, *ended)
    assert not ended

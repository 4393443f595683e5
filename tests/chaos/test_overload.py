"""A small backlog of large events; ``make overload`` runs with 100,000."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.chaos.overload import Piece, piece


@pytest.mark.timeout(180)
async def test_memory_stays_flat_under_a_backlog(tmp_path: Path) -> None:
    """The backlog is complete when the worker starts, and its window limits what it holds."""
    measured = await piece(tmp_path, 1500, 100_000, threads=1, in_flight_mb=4)
    assert measured.ok, measured.line()
    # The window was full, or the test shows nothing.
    assert measured.max_held_mb > 2, measured.line()


@pytest.mark.parametrize(
    "changes", [{"last_rss_mb": 112.0}, {"max_held": 11}, {"max_held_mb": 1.1}]
)
def test_growth_and_overfull_windows_fail(changes: dict[str, float]) -> None:
    """Each of them fails alone."""
    good = {
        "events": 10,
        "seconds": 1.0,
        "first_rss_mb": 100.0,
        "last_rss_mb": 108.0,
        "max_rss_mb": 108.0,
        "max_held": 10,
        "max_held_mb": 1.0,
        "held_allowed": 10,
        "held_mb_allowed": 1.0,
    }
    assert Piece(**good).ok  # type: ignore[arg-type]
    assert Piece(**{**good, "last_rss_mb": 80.0}).ok  # type: ignore[arg-type]
    assert not Piece(**{**good, **changes}).ok  # type: ignore[arg-type]

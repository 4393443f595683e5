"""A small backlog of large events; ``make overload`` works off 100,000."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.chaos.overload import Piece, piece


@pytest.mark.timeout(180)
async def test_a_backlog_is_worked_off_with_flat_memory(tmp_path: Path) -> None:
    """All is there before the worker starts; it holds what its window allows, and no more."""
    measured = await piece(tmp_path, 1500, 100_000, threads=1, in_flight_mb=4)
    assert measured.ok, measured.line()
    # It was held up by its window, or this showed nothing.
    assert measured.most_held_mb > 2, measured.line()


@pytest.mark.parametrize(
    "spoilt", [{"last_rss_mb": 112.0}, {"most_held": 11}, {"most_held_mb": 1.1}]
)
def test_growth_and_overfull_windows_are_told(spoilt: dict[str, float]) -> None:
    """Each of them makes the command fail."""
    sound = {
        "events": 10,
        "seconds": 1.0,
        "first_rss_mb": 100.0,
        "last_rss_mb": 108.0,
        "most_rss_mb": 108.0,
        "most_held": 10,
        "most_held_mb": 1.0,
        "held_allowed": 10,
        "held_mb_allowed": 1.0,
    }
    assert Piece(**sound).ok  # type: ignore[arg-type]
    assert Piece(**{**sound, "last_rss_mb": 80.0}).ok  # type: ignore[arg-type]
    assert not Piece(**{**sound, **spoilt}).ok  # type: ignore[arg-type]

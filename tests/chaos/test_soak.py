"""A soak run fails on growth and on missing answers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tools.chaos.soak import Sample, Soak

STEADY = tuple(Sample(float(second), 200.0, 20, 40, 3) for second in range(100))


def ending(**changes: float) -> Soak:
    """Return a steady run with changes in its last sample."""
    return Soak((*STEADY[:-1], replace(STEADY[-1], **changes)), 10, 10)  # type: ignore[arg-type]


def test_a_steady_run_passes() -> None:
    """So does one that uses less at its end."""
    assert ending().ok
    assert ending(rss_mb=150.0, threads=10, open_files=30).ok


@pytest.mark.parametrize("grown", [{"rss_mb": 221.0}, {"threads": 25}, {"open_files": 49}])
def test_growth_fails(grown: dict[str, float]) -> None:
    """Memory, threads and open files may not grow after the warm-up."""
    assert not ending(**grown).ok
    assert "GREW" in ending(**grown).line()


def test_a_missing_answer_fails() -> None:
    """Every published event must be answered."""
    assert not replace(ending(), answered=9).ok

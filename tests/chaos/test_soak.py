"""What a soak run must tell: growth, and answers that never came."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tools.chaos.soak import Sample, Soak

STEADY = tuple(Sample(float(second), 200.0, 20, 40, 3) for second in range(100))


def ending(**changes: float) -> Soak:
    """A steady run but for its last sample."""
    return Soak((*STEADY[:-1], replace(STEADY[-1], **changes)), 10, 10)  # type: ignore[arg-type]


def test_a_steady_run_is_well() -> None:
    """Also one that used less in the end."""
    assert ending().ok
    assert ending(rss_mb=150.0, threads=10, open_files=30).ok


@pytest.mark.parametrize("grown", [{"rss_mb": 221.0}, {"threads": 25}, {"open_files": 49}])
def test_growth_is_told(grown: dict[str, float]) -> None:
    """Of memory, threads and open files, after it was warm."""
    assert not ending(**grown).ok
    assert "GREW" in ending(**grown).line()


def test_an_answer_that_never_came_is_told() -> None:
    """A soak is no soak without answers."""
    assert not replace(ending(), answered=9).ok

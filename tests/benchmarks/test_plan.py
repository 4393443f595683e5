"""Which parts a run measures, and which it measures again."""

from __future__ import annotations

import pytest

from benchmarks.plan import PARTS, Plan, sets_again
from benchmarks.results import Results


def test_only_the_named_parts_are_measured_again() -> None:
    """A named picture set is measured with all its contenders."""
    plan = Plan(again=("latency", "vga"))
    assert [part for part in PARTS if plan.wants(part)] == ["latency"]
    assert plan.wants("facestream-json")
    assert [pictures.name for pictures in sets_again(plan)] == ["vga"]


def test_an_unknown_part_cannot_be_measured_again() -> None:
    """The message names it and lists the known ones."""
    with pytest.raises(SystemExit, match="unknown set or part: 720p; expected one of vga, .*start"):
        sets_again(Plan(again=("latency", "720p")))


def test_measuring_a_set_again_deletes_its_failures() -> None:
    """Failures of other sets and parts remain."""
    results = Results({}, 1, 1, failed={"bare on vga": "x", "bare on 12mp": "y", "latency": "z"})
    results.forget_set("vga")
    assert results.failed == {"bare on 12mp": "y", "latency": "z"}

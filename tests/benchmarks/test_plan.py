"""What a run measures, and what is measured once more."""

from __future__ import annotations

import pytest

from benchmarks.plan import PARTS, Plan, sets_again
from benchmarks.results import Results


def test_only_what_is_named_is_measured_again() -> None:
    """Of the parts; a picture set has all its contenders."""
    plan = Plan(again=("latency", "vga"))
    assert [part for part in PARTS if plan.wants(part)] == ["latency"]
    assert plan.wants("facestream-json")
    assert [pictures.name for pictures in sets_again(plan)] == ["vga"]


def test_what_does_not_exist_cannot_be_measured_again() -> None:
    """It is named, with what there is."""
    with pytest.raises(SystemExit, match="nothing to measure again: 720p; there are vga, .*start"):
        sets_again(Plan(again=("latency", "720p")))


def test_a_set_that_is_measured_again_has_not_failed_yet() -> None:
    """The failures of others stay."""
    results = Results({}, 1, 1, failed={"bare on vga": "x", "bare on 12mp": "y", "latency": "z"})
    results.forget_set("vga")
    assert results.failed == {"bare on 12mp": "y", "latency": "z"}

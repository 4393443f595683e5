"""A few thousand hostile inputs; ``make fuzz`` runs any number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from models.pipeline import FacePipeline
from tools.fuzz import codec, decoder
from tools.fuzz.handler import handler
from tools.fuzz.run import MAX_MB, Part

SEED = 1
# models.pictures.decoding ignores these warnings, but pytest sets its own filters.
pytestmark = pytest.mark.filterwarnings("ignore:::PIL")


def assert_no_failure(part: Part[Any], inputs: int) -> None:
    assert part.count >= inputs
    assert not part.failures, part.failures[0]


def test_the_codec_accepts_any_bytes() -> None:
    """It raises ``InvalidEvent``, or returns a record that survives a round trip."""
    part = Part("codec", codec.inputs, codec.check)
    part.run(1500, SEED)
    assert_no_failure(part, 1500)


def test_the_decoder_accepts_any_bytes() -> None:
    """It returns pixels within the limits, or raises one of its two errors.

    Declaring millions of pixels costs no memory.
    """
    part = Part("decoder", decoder.inputs, decoder.check)
    part.run(2000, SEED)
    assert_no_failure(part, 2000)


def test_every_event_becomes_answers_or_one_dead_letter(
    pipeline: FacePipeline, tmp_path: Path
) -> None:
    """No event leads to a forbidden read or to a secret in the log."""
    with handler(pipeline, tmp_path) as whole:
        part = Part("handler", whole.inputs, whole.check)
        part.run(600, SEED)
        assert_no_failure(part, 600)
    # The inputs reach every stage, rather than all failing at the first.
    outcomes = {"real", "invalid_event", "unreadable_image", "image_unavailable"}
    assert {*outcomes, "left at its source"} <= set(whole.outcomes)


def test_a_failing_input_is_reported() -> None:
    """The report names the smallest failing input."""

    def check(number: int) -> int:
        if number > 100:
            raise ZeroDivisionError
        return 1

    part = Part("numbers", st.integers(), check)
    part.run(50, SEED)
    assert part.failures[0].endswith("smallest input: 101")


def test_an_input_that_takes_too_much_memory_fails() -> None:
    """Even when the process has used as much memory before."""
    keep: list[Any] = []

    def check(large: bool) -> int:
        keep[:] = [np.ones(int(MAX_MB * 1.5) << 17)] if large else []
        return 1

    np.ones(int(MAX_MB * 3) << 17)
    part = Part("memory", st.just(True), check)
    part.run(1, SEED)
    assert "MB of memory" in part.failures[0]


def test_an_input_that_takes_too_long_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processor time counts, as other processes may delay an input."""
    monkeypatch.setattr("tools.fuzz.run.MAX_SECONDS", 0.0)
    part = Part("time", st.just(1), lambda _: sum(range(1000)) * 0 + 1)
    part.run(1, SEED)
    assert "processor time" in part.failures[0]

"""A few thousand hostile inputs; `make fuzz` runs as many as one likes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from models.pipeline import FacePipeline
from tools.fuzz import codec, decoder
from tools.fuzz.handler import handler
from tools.fuzz.run import MOST_MB, Part

SEED = 1
# models.pictures.decoding ignores these, but pytest has filters of its own.
pytestmark = pytest.mark.filterwarnings("ignore:::PIL")


def assert_unharmed(part: Part, inputs: int) -> None:
    assert part.count >= inputs
    assert not part.failures, part.failures[0]


def test_the_codec_takes_anything() -> None:
    """InvalidEvent or a record that makes the round trip."""
    part = Part("codec", codec.inputs, codec.check)
    part.run(1500, SEED)
    assert_unharmed(part, 1500)


def test_the_decoder_takes_anything() -> None:
    """Pixels within the limits, or one of its two errors; millions of declared pixels cost
    no memory."""
    part = Part("decoder", decoder.inputs, decoder.check)
    part.run(2000, SEED)
    assert_unharmed(part, 2000)


def test_every_event_ends_as_answers_or_as_one_dead_letter(
    pipeline: FacePipeline, tmp_path: Path
) -> None:
    """Whatever it is, nothing forbidden is read for it, and nothing secret logged."""
    with handler(pipeline, tmp_path) as whole:
        part = Part("handler", whole.inputs, whole.check)
        part.run(600, SEED)
        assert_unharmed(part, 600)
    # Not all of it is refused at the door.
    ends = {"real", "invalid_event", "unreadable_image", "image_unavailable"}
    assert {*ends, "left at its source"} <= set(whole.ends)


def test_an_input_that_breaks_something_is_shown() -> None:
    """The smallest one, and the others go on."""

    def check(number: int) -> int:
        if number > 100:
            raise ZeroDivisionError
        return 1

    part = Part("numbers", st.integers(), check)
    part.run(50, SEED)
    assert part.failures[0].endswith("smallest input: 101")


def test_an_input_that_takes_too_much_memory_is_seen() -> None:
    """Even where the process has held as much before."""
    keep: list[Any] = []

    def check(large: bool) -> int:
        keep[:] = [np.ones(int(MOST_MB * 1.5) << 17)] if large else []
        return 1

    np.ones(int(MOST_MB * 3) << 17)
    part = Part("memory", st.just(True), check)
    part.run(1, SEED)
    assert "MB of memory" in part.failures[0]


def test_an_input_that_takes_too_long_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the processor's time: a busy machine is no fault of the input."""
    monkeypatch.setattr("tools.fuzz.run.MOST_SECONDS", 0.0)
    part = Part("time", st.just(1), lambda _: sum(range(1000)) * 0 + 1)
    part.run(1, SEED)
    assert "processor time" in part.failures[0]

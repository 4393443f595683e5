"""The plan and the events of a chaos run follow from its seed."""

from __future__ import annotations

import pytest

from tools.chaos.faults import plan
from tools.chaos.load import Event, Load

URL = "http://127.0.0.1:1/"


def _events(seed: int, *, real: bool) -> list[Event]:
    return list(Load(seed, count=300, real=real, picture_url=URL).events())


def test_the_seed_determines_the_plan() -> None:
    """The same seed gives the same faults, and another seed gives different ones."""
    assert plan(1, session_s=10.0) == plan(1, session_s=10.0)
    assert plan(1, session_s=10.0) != plan(2, session_s=10.0)


@pytest.mark.parametrize("real", [False, True], ids=["random", "real"])
def test_the_seed_determines_the_events(*, real: bool) -> None:
    """The same seed gives the same events, and another seed gives different pictures."""
    first, again, other = (_events(seed, real=real) for seed in (1, 1, 2))
    assert first == again
    # Event ids contain the seed, so only the pictures show that the rest is drawn from it.
    assert [e.picture_sha256 for e in first] != [e.picture_sha256 for e in other]

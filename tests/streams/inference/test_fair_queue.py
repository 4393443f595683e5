"""Whose turn it is."""

from __future__ import annotations

import pytest

from streams.inference.fair_queue import Turns


def taken(turns: Turns[str]) -> list[str]:
    """All that is there, in the order of its turns."""
    return [turns.take() for _ in range(len(turns))]


def test_the_urgent_and_the_patient_take_turns() -> None:
    """Neither holds the other up, and both keep their order."""
    turns: Turns[str] = Turns()
    for item in ("p1", "p2", "p3"):
        turns.put(item, urgent=False)
    for item in ("u1", "u2", "u3", "u4", "u5"):
        turns.put(item, urgent=True)
    assert taken(turns) == ["u1", "p1", "u2", "p2", "u3", "p3", "u4", "u5"]


def test_an_urgent_one_that_comes_late_is_next() -> None:
    """After patient ones had their turns."""
    turns: Turns[str] = Turns()
    for item in ("p1", "p2", "p3"):
        turns.put(item, urgent=False)
    assert turns.take() == "p1"
    turns.put("u1", urgent=True)
    assert taken(turns) == ["u1", "p2", "p3"]


def test_nothing_to_take_is_an_error() -> None:
    """Each turn was announced by something put."""
    with pytest.raises(IndexError):
        Turns[str]().take()

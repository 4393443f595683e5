"""The plan of faults and the load: the same for the same seed, and with everything in them."""

from __future__ import annotations

import pytest

from tools.chaos.faults import LASTS, Kind, plan
from tools.chaos.load import Load
from tools.chaos.pipelines import Command, command_of, commanded


def test_the_same_seed_gives_the_same_plan() -> None:
    """So that a failure can be repeated."""
    assert plan(7, session_s=4) == plan(7, session_s=4)
    assert plan(7, session_s=4) != plan(8, session_s=4)


@pytest.mark.parametrize("seed", range(20))
def test_every_kind_of_fault_is_in_every_plan(seed: int) -> None:
    """In some order, each within its bounds; a zombie sleeps longer than its session."""
    faults = plan(seed, session_s=4, longest_s=30).faults
    assert {fault.kind for fault in faults} == set(Kind)
    for fault in faults:
        assert (fault.lasts_s > 0) == (fault.kind in LASTS)
        assert fault.lasts_s <= 34
        assert fault.kind is not Kind.ZOMBIE or fault.lasts_s > 4


@pytest.mark.parametrize("real", [False, True])
def test_the_same_seed_gives_the_same_events(real: bool) -> None:
    """Bytes and all."""
    first, second, other = (
        list(Load(seed, 60, real, "http://127.0.0.1:1/").events()) for seed in (3, 3, 4)
    )
    assert first == second
    assert {event.event_id for event in first}.isdisjoint(
        {event.event_id for event in other} - {None}
    )


def test_a_load_holds_every_kind_of_event() -> None:
    """Sound ones, claim checks, two faces, and every kind of bad one."""
    events = list(Load(5, 20_000, real=False, picture_url="http://127.0.0.1:1/").events())
    commands = {command_of(event.value) for event in events if event.event_id}
    assert set(Command) <= commands
    bad = [event for event in events if not event.may_be_real]
    assert 0.03 < len(bad) / len(events) < 0.07
    assert any(event.event_id is None for event in bad)
    assert any(event.faces == 2 for event in events)
    assert any(b"image_uri" in event.value for event in events)


def test_a_command_is_read_back() -> None:
    """And a picture without one obeys nothing."""
    assert command_of(commanded(b"picture", Command.HANG)) is Command.HANG
    assert command_of(commanded(b"picture", None)) is None

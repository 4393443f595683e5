"""The circuit: when it opens, when it closes, and what it ignores."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.inference.circuit import Circuit, CircuitProbe, CircuitState

OUTCOMES = st.lists(st.booleans(), max_size=80)
THRESHOLDS = st.floats(0, 1)


def circuit(
    threshold: float = 0.7,
    window: int = 10,
    minimum: int = 4,
    on_change: Callable[[CircuitState], None] = lambda state: None,
) -> Circuit:
    """Make a circuit that opens when fewer than 70 % of at least four attempts succeed."""
    return Circuit(threshold=threshold, window=window, minimum=minimum, on_change=on_change)


def record(one: Circuit, *outcomes: bool) -> None:
    """Record attempts that begin and end one after the other."""
    for succeeded in outcomes:
        one.record(one.begin(), succeeded=succeeded)


def opened(on_change: Callable[[CircuitState], None] = lambda state: None) -> Circuit:
    """Make an open circuit."""
    one = circuit(on_change=on_change)
    record(one, False, False, False, False)
    assert not one.is_closed
    return one


@given(OUTCOMES, THRESHOLDS, st.integers(1, 20), st.integers(0, 20))
def test_it_opens_at_the_first_attempt_that_brings_the_share_below_the_threshold(
    outcomes: list[bool], threshold: float, minimum: int, more: int
) -> None:
    """The share is over the last ``window`` attempts, of which there must be ``minimum``."""
    window = minimum + more
    one = circuit(threshold, window, minimum)
    seen: list[bool] = []
    for outcome in outcomes:
        record(one, outcome)
        seen.append(outcome)
        recent = seen[-window:]
        below = sum(recent) / len(recent) < threshold
        if below and len(recent) >= minimum:
            assert CircuitState.OPEN == one.state
            return
        assert CircuitState.CLOSED == one.state


@given(OUTCOMES)
def test_a_threshold_of_0_never_opens_it(outcomes: list[bool]) -> None:
    """No share of successes is below 0."""
    one = circuit(threshold=0)
    record(one, *outcomes)
    assert one.is_closed


@given(OUTCOMES)
def test_attempts_are_not_counted_unless_it_is_closed(outcomes: list[bool]) -> None:
    """Only a probe changes an open circuit."""
    states: list[CircuitState] = []
    one = opened(on_change=states.append)
    record(one, *outcomes)
    one.begin_probe()
    record(one, *outcomes)
    assert [CircuitState.OPEN, CircuitState.HALF_OPEN] == states


@given(
    st.lists(
        st.sampled_from(["fail", "succeed", "begin", "probe succeeds", "probe fails"]), max_size=200
    )
)
def test_every_change_of_state_is_one_of_four(steps: list[str]) -> None:
    """Closed becomes open, open becomes half-open, and half-open becomes closed or open."""
    seen = [CircuitState.CLOSED]
    one = circuit(on_change=seen.append)
    for step in steps:
        match step:
            case "fail" | "succeed":
                record(one, step == "succeed")
            case "begin":
                one.begin_probe()
            case _:
                one.end_probe(succeeded=step == "probe succeeds")
        assert one.is_closed == (one.refusal() is None) == (not one.opened.is_set())
    assert set(itertools.pairwise(seen)) <= {
        (CircuitState.CLOSED, CircuitState.OPEN),
        (CircuitState.OPEN, CircuitState.HALF_OPEN),
        (CircuitState.HALF_OPEN, CircuitState.CLOSED),
        (CircuitState.HALF_OPEN, CircuitState.OPEN),
    }


def test_an_attempt_that_began_before_a_change_of_state_is_not_counted() -> None:
    """It began before the circuit opened, and failed after it closed again."""
    one = circuit(threshold=1, window=1, minimum=1)
    old = one.begin()
    record(one, False)
    one.begin_probe()
    one.end_probe(succeeded=True)
    one.record(old, succeeded=False)
    assert one.is_closed


def test_a_circuit_that_closes_again_starts_counting_from_zero() -> None:
    """Otherwise its first failure would open it again."""
    one = opened()
    one.begin_probe()
    one.end_probe(succeeded=True)
    record(one, False, False, False)
    assert one.is_closed
    assert 0.0 == one.success_share


def test_the_refusal_names_the_share_and_the_setting() -> None:
    """They tell an operator why events fall back."""
    one = circuit()
    record(one, True, False, False, False)
    assert "25% of the recent attempts" in str(one.refusal())
    assert "SIMULATED_ML_THRESHOLD=0.7" in str(one.refusal())


@pytest.mark.parametrize(("minimum", "window"), [(0, 5), (6, 5)])
def test_a_minimum_outside_the_window_is_refused(minimum: int, window: int) -> None:
    """Such a circuit would never open, or open without an attempt."""
    with pytest.raises(ValueError, match="minimum must be in"):
        circuit(window=window, minimum=minimum)


class UnforeseenError(Exception):
    """An error that no code expects."""


async def test_an_open_circuit_is_probed_until_a_probe_succeeds() -> None:
    """A probe that raises any error is followed by the next one."""
    results: list[Exception | None] = [UnforeseenError(), UnforeseenError(), None, None]
    states: list[CircuitState] = []
    one = circuit(on_change=states.append)
    during: list[CircuitState] = []

    async def probe() -> None:
        during.append(one.state)
        if error := results.pop(0):
            raise error

    task = asyncio.create_task(CircuitProbe(one, probe, interval_s=0.001).run())
    async with asyncio.timeout(10):
        for _ in range(2):
            record(one, False, False, False, False)
            while not one.is_closed:
                await asyncio.sleep(0.001)
    task.cancel()
    assert [CircuitState.HALF_OPEN] * 4 == during
    assert [] == results
    assert CircuitState.CLOSED == states[-1]


async def test_a_closed_circuit_is_not_probed() -> None:
    """Real attempts already show whether the models work."""
    probes = 0

    async def probe() -> None:
        nonlocal probes
        probes += 1

    one = circuit()
    task = asyncio.create_task(CircuitProbe(one, probe, interval_s=0).run())
    record(one, True, False, True, True)
    for _ in range(20):
        await asyncio.sleep(0)
    task.cancel()
    assert 0 == probes

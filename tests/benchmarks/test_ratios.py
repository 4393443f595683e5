"""Medians, spreads, ratios and percentiles, on values whose answers are known."""

from __future__ import annotations

import pytest

from benchmarks.ratios import best_of, percentile, ratios, spread


def test_a_spread_has_the_median_and_the_ends() -> None:
    """Not the mean, which one bad repeat would move."""
    found = spread([10.0, 100.0, 11.0])
    assert (11.0, 10.0, 100.0, 3) == (found.median, found.low, found.high, found.repeats)
    assert "11.0 (10.0 to 100.0)" == found.text()


def test_ratios_are_of_the_same_repeat() -> None:
    """A machine that was slow in one repeat was slow for both."""
    assert 2.0 == ratios([2.0, 20.0, 4.0], [1.0, 10.0, 2.0]).high


def test_repeats_that_do_not_match_are_refused() -> None:
    """Rather than compared with another repeat's."""
    with pytest.raises(ValueError, match="zip"):
        ratios([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="no values"):
        spread([])


def test_the_best_has_the_highest_median() -> None:
    """One lucky repeat does not make a contender the best."""
    steady, lucky = [5.0, 5.0, 5.0], [1.0, 1.0, 9.0]
    assert steady == best_of([lucky, steady], lambda value: value)


def test_percentiles_are_values_that_were_measured() -> None:
    """Nearest rank."""
    values = [float(number) for number in range(1, 101)]
    assert (50.0, 99.0, 1.0) == tuple(percentile(values, share) for share in (0.5, 0.99, 0.0))
    assert 7.0 == percentile([7.0], 0.99)

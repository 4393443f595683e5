"""The figures of ``docs/accuracy.md``, on scores with known results."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.verification import (
    area_under_roc,
    best_threshold,
    fold_accuracies,
    misses_after_rejecting,
    share,
    threshold_at,
)

SCORES = np.array([0.9, 0.8, 0.2, 0.1])
SAME = np.array([True, True, False, False])


def test_the_best_threshold_is_in_the_middle_of_the_gap() -> None:
    """A threshold at an edge of the gap would suit the next fold less."""
    assert best_threshold(SCORES, SAME) == pytest.approx(0.5)


def test_a_fold_uses_the_threshold_of_the_other_folds() -> None:
    """A fold with shifted scores is less accurate than with its own threshold."""
    scores, same = np.concatenate([SCORES, SCORES - 0.6]), np.concatenate([SAME, SAME])
    assert [0.5, 0.5] == fold_accuracies(scores, same, ["a"] * 4 + ["b"] * 4)
    assert [1.0, 1.0] == fold_accuracies(
        np.concatenate([SCORES, SCORES]), same, ["a"] * 4 + ["b"] * 4
    )
    assert [1.0] == fold_accuracies(SCORES, SAME, ["a"] * 4)


def test_a_threshold_meets_the_false_accept_rate() -> None:
    """At most that share of the impostors reaches it, and hardly less."""
    impostors = np.linspace(0.0, 1.0, 1001)
    for rate in (0.01, 0.1):
        threshold = threshold_at(impostors, rate)
        accepted = (impostors >= threshold).mean()
        assert rate - 0.002 <= accepted <= rate


def test_the_area_is_the_probability_of_the_correct_order() -> None:
    """It is 1 for separate scores, 3/4 with one of four out of order, 1/2 for equal scores."""
    assert area_under_roc(SCORES[:2], SCORES[2:]) == 1.0
    assert area_under_roc(np.array([0.5, 0.9]), np.array([0.6, 0.1])) == 0.75
    assert area_under_roc(np.ones(3), np.ones(3)) == 0.5


def test_rejecting_by_a_good_signal_removes_the_misses() -> None:
    """Rejecting by a bad signal does not."""
    scores = np.array([0.1, 0.2, 0.8, 0.9])
    assert [0.5, 0.0] == misses_after_rejecting(scores, scores, 0.5, (0.0, 0.5))
    assert [0.5, 1.0] == misses_after_rejecting(scores, -scores, 0.5, (0.0, 0.5))


def test_an_interval_contains_its_share_and_narrows() -> None:
    """Wilson's interval stays within 0 and 1."""
    few, many = share(9, 10), share(900, 1000)
    assert few.low < 0.9 < few.high
    assert few.low < many.low < 0.9 < many.high < few.high
    assert share(10, 10).high == pytest.approx(1.0)
    assert 0.0 <= share(0, 10).low < share(0, 10).high < 0.35

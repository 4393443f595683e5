"""Compute verification figures: accuracy in folds, rates at thresholds, intervals, rejection."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Share:
    """A share with its 95 % interval (Wilson), ``low`` to ``high``."""

    value: float
    low: float
    high: float


def share(hits: int, of: int) -> Share:
    """Compute the share of a count; without a count the interval is 0 to 1."""
    if of == 0:
        return Share(math.nan, 0.0, 1.0)
    z = 1.96
    p = hits / of
    middle = (p + z * z / (2 * of)) / (1 + z * z / of)
    half = z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of)) / (1 + z * z / of)
    return Share(p, max(0.0, middle - half), min(1.0, middle + half))


def best_threshold(scores: Scores, same: Flags) -> float:
    """Return the middle of the thresholds that decide most pairs correctly."""
    ordered = np.unique(scores)
    if len(ordered) == 1:
        return float(ordered[0])
    middles = (ordered[1:] + ordered[:-1]) / 2
    genuine, impostor = np.sort(scores[same]), np.sort(scores[~same])
    right = (len(genuine) - np.searchsorted(genuine, middles)) + np.searchsorted(impostor, middles)
    return float(np.median(middles[right == right.max()]))


def fold_accuracies(scores: Scores, same: Flags, folds: Sequence[str]) -> list[float]:
    """Return each fold's accuracy at the other folds' best threshold, LFW's protocol."""
    of = np.array(folds)
    accuracies = []
    for fold in sorted(set(folds)):
        here = of == fold
        threshold = (
            best_threshold(scores[~here], same[~here])
            if not here.all()
            else (best_threshold(scores, same))
        )
        accuracies.append(float(((scores[here] >= threshold) == same[here]).mean()))
    return accuracies


def threshold_at(impostors: Scores, false_accept_rate: float) -> float:
    """Return the lowest cosine that at most this share of impostor scores reaches."""
    ordered = np.sort(impostors)[::-1]
    allowed = int(false_accept_rate * len(ordered))
    return float(np.nextafter(ordered[allowed], np.inf))


def accepted_share(genuine: Scores, threshold: float) -> Share:
    return share(int((genuine >= threshold).sum()), len(genuine))


def area_under_roc(genuine: Scores, impostors: Scores) -> float:
    """Return the probability that a genuine score exceeds an impostor's."""
    ordered = np.sort(impostors)
    below = np.searchsorted(ordered, genuine, "left") + np.searchsorted(ordered, genuine, "right")
    return float(below.mean() / 2 / len(ordered))


def misses_after_rejecting(
    scores: Scores, quality: Scores, threshold: float, rejected: Sequence[float]
) -> list[float]:
    """Return the share of genuine pairs below the threshold, without the worst by quality.

    Error versus reject (Grother and Tabassi 2007): with a useful quality it falls fast.
    """
    order = np.argsort(quality, kind="stable")
    return [
        float((scores[order[round(part * len(scores)) :]] < threshold).mean()) for part in rejected
    ]

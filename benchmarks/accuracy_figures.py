"""What one run of `make accuracy` measured, and the figures that machines read of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.accuracy_models import Measurable
from benchmarks.measure_detection import Detection, Turned
from benchmarks.measure_verification import FAR, REJECTED, Verification


@dataclass(frozen=True)
class Measured:
    """Everything that one run measured."""

    verification: dict[tuple[str, str], Verification]
    detection: dict[str, Detection]
    turned: dict[str, dict[int, Turned]]
    models: Measurable


def key_values(measured: Measured) -> dict[str, str]:
    """What machines read; shares in percent. Several lists of pairs: their keys begin with its
    name."""
    values: dict[str, str] = {}
    several = len({name for name, _ in measured.verification}) > 1
    for (name, embedder), found in measured.verification.items():
        of = f"{name}_" if several else ""
        values[f"{name}_accuracy_{embedder}"] = f"{found.accuracy * 100:.2f}"
        for rate in known_rates(found):
            values[f"{of}tar_{far_text(rate)}_{embedder}"] = f"{found.tar[rate].value * 100:.2f}"
            values[f"{of}threshold_{far_text(rate)}_{embedder}"] = f"{found.thresholds[rate]:.3f}"
        for signal in ("quality", "detection confidence"):
            misses, word = found.rejecting[signal], signal.replace(" ", "_")
            at_20, mean = misses[REJECTED.index(0.2)] * 100, np.mean(misses) * 100
            values[f"{of}misses_reject20_{word}_{embedder}"] = f"{at_20:.2f}"
            values[f"{of}misses_reject_mean_{word}_{embedder}"] = f"{mean:.2f}"
    for detector, seen in measured.detection.items():
        for name, count in seen.by_set.items():
            values[f"recall_{detector}_{name}"] = f"{count.recall * 100:.2f}"
            values[f"found_{detector}_{name}"] = f"{count.found}/{count.faces}"
        values[f"false_faces_{detector}"] = str(seen.false_faces)
    for detector, angles in measured.turned.items():
        for angle, copies in angles.items():
            values[f"turned{angle}_found_{detector}"] = f"{copies.found}/{copies.pictures}"
            values[f"turned{angle}_cosine_{detector}"] = f"{copies.median:.3f}"
    return values


def left_out(measured: Measured) -> list[str]:
    """Which pictures count nowhere, or have no turned copies, and why."""
    lines = [f"cannot be read: {file}" for file in _unreadable(measured)]
    for detector, angles in measured.turned.items():
        for file in next(iter(angles.values())).left_out:
            lines.append(f"{detector}: no copies turned, for no face is found upright: {file}")
    return lines


def _unreadable(measured: Measured) -> list[str]:
    return sorted({file for seen in measured.detection.values() for file in seen.unreadable})


def known_rates(found: Verification) -> list[float]:
    """Of FAR, those for which there are impostor pairs enough."""
    return [rate for rate in FAR if found.is_enough_for(rate)]


def far_text(rate: float) -> str:
    """As in 1e-3."""
    return f"{rate:.0e}".replace("e-0", "e-")

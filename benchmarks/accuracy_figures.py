"""The results of a run of ``make accuracy``, and their key=value lines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.accuracy_models import Measurable
from benchmarks.measure_detection import Detection, Turned
from benchmarks.measure_verification import FAR, REJECTED, Verification


@dataclass(frozen=True)
class Measured:
    """All results of a run."""

    verification: dict[tuple[str, str], Verification]
    detection: dict[str, Detection]
    turned: dict[str, dict[int, Turned]]
    models: Measurable


def key_values(measured: Measured) -> dict[str, str]:
    """Return all key=value pairs; shares in percent.

    With several pair lists, each list's keys begin with its name.
    """
    return {**_verification_values(measured), **_detection_values(measured)}


def _verification_values(measured: Measured) -> dict[str, str]:
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
    return values


def _detection_values(measured: Measured) -> dict[str, str]:
    values: dict[str, str] = {}
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
    """List the pictures that were not measured, or not turned, with the reason."""
    lines = [f"cannot be read: {file}" for file in _unreadable(measured)]
    for detector, angles in measured.turned.items():
        for file in next(iter(angles.values())).left_out:
            lines.append(f"{detector}: not turned, because no upright face is found: {file}")
    return lines


def _unreadable(measured: Measured) -> list[str]:
    return sorted({file for seen in measured.detection.values() for file in seen.unreadable})


def known_rates(found: Verification) -> list[float]:
    """Return the rates of ``FAR`` that enough impostor pairs support."""
    return [rate for rate in FAR if found.is_enough_for(rate)]


def far_text(rate: float) -> str:
    """Format a rate like ``1e-3``."""
    return f"{rate:.0e}".replace("e-0", "e-")

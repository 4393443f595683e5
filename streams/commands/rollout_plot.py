"""The plot of ``rollout report``; it needs matplotlib, from the extra ``bench``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from schemas.shadow_scored import SCORES
from streams.commands.rollout_report import Evidence
from streams.errors import StreamsError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BINS = 25


def plot(evidence: Evidence, path: Path) -> None:
    """Plot the distribution of each score, and below it the differences.

    The suffix of ``path`` chooses the format. Raises ``StreamsError`` without matplotlib, and when
    the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - not installed in production
    except ImportError:
        raise StreamsError(
            "--plot needs matplotlib: pip install 'facestream[bench]', or leave --plot out"
        ) from None
    figure = Figure(figsize=(3.2 * len(SCORES), 6), layout="constrained")
    above, below = figure.subplots(2, len(SCORES), sharey="row")
    kinds = {
        "real": evidence.real(),
        "real, in the shadow": evidence.shadow(),
        "simulated": evidence.simulated(),
    }
    differences = evidence.simulated_minus_shadow()
    for column, name in enumerate(SCORES):
        for kind, table in kinds.items():
            _histogram(above[column], table[:, column], (0, 1), label=kind)
        above[column].set(title=name, xlabel="score")
        _histogram(below[column], differences[:, column], (-1, 1), label=None)
        below[column].axvline(0, color="black", linewidth=0.8)
        below[column].set(xlabel="simulated - real, same event")
    above[0].set_ylabel("share of faces")
    below[0].set_ylabel("share of events")
    figure.legend(*above[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    try:
        figure.savefig(path, dpi=110)
    except (OSError, ValueError) as error:
        raise StreamsError(f"cannot write the plot to {path}: {error}") from error


def _histogram(
    axes: Axes, values: NDArray[np.float64], limits: tuple[float, float], *, label: str | None
) -> None:
    if not len(values):
        return
    weights = np.full(len(values), 1 / len(values))
    axes.hist(values, bins=BINS, range=limits, weights=weights, alpha=0.55, label=label)

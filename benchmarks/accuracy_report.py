"""Write the tables and plots of ``docs/accuracy.md``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.accuracy_figures import Measured, far_text, key_values, left_out
from benchmarks.accuracy_targets import verdicts
from benchmarks.measure_verification import ENOUGH_ABOVE, FAR, REJECTED, Verification
from benchmarks.verification import Share

TOO_FEW = "too few pairs"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def write_report(measured: Measured, page: Path, images: Path) -> None:
    """Replace the text between the page's markers, and draw the plots."""
    images.mkdir(parents=True, exist_ok=True)
    plots = _plots(measured, images)
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    parts = (_verification(measured), plots, _detection(measured), _turned(measured))
    ends = (_left_out(measured), _targets(measured))
    body = "\n".join(line for part in (*parts, *ends) for line in part)
    page.write_text(f"{before}{BEGIN}\n{body}\n{END}{after}", encoding="utf-8")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["", *("| " + " | ".join(line) + " |" for line in lines), ""]


def _percent(part: Share) -> str:
    return f"{part.value * 100:.2f} ({part.low * 100:.1f}–{part.high * 100:.1f})"  # noqa: RUF001


def _verification(measured: Measured) -> list[str]:
    lines = ["", "## Verification", *_accuracies(measured)]
    lines += [
        "Cosine threshold for each false accept rate, over all pairs of pictures of different "
        f"people. A rate is reported if at least {ENOUGH_ABOVE} pairs are above its threshold:"
    ]
    lines += _thresholds(measured)
    lines += ["## Quality", "", "Missed genuine pairs in %, after the worst faces are left out by:"]
    for (name, embedder), found in measured.verification.items():
        lines += _rejection(f"{embedder}, {name}", found)
    return lines


def _accuracies(measured: Measured) -> list[str]:
    head = ["pairs", "embedder", "accuracy %", "folds", "AUC"]
    head += [f"TAR % at FAR {far_text(rate)}" for rate in FAR]
    rows = (
        [
            f"{name} ({found.pairs})",
            embedder,
            f"{found.accuracy * 100:.2f}",
            ", ".join(f"{value * 100:.2f}" for value in found.accuracies),
            f"{found.area:.5f}",
            *(_percent(found.tar[rate]) if found.is_enough_for(rate) else TOO_FEW for rate in FAR),
        ]
        for (name, embedder), found in measured.verification.items()
    )
    return _table(head, rows)


def _thresholds(measured: Measured) -> list[str]:
    rows = (
        [
            embedder,
            f"{len(found.impostors):,}",
            *(
                f"{found.thresholds[rate]:.3f}" if found.is_enough_for(rate) else TOO_FEW
                for rate in FAR
            ),
        ]
        for (_, embedder), found in measured.verification.items()
    )
    return _table(["embedder", "impostor pairs", *(far_text(rate) for rate in FAR)], rows)


def _rejection(title: str, found: Verification) -> list[str]:
    lines: list[str] = []
    for what, rejecting in (
        ("one picture of each pair damaged, at FAR 1e-3", found.rejecting),
        ("undamaged pairs, at FAR 1e-4, by the worse picture", found.rejecting_as_is),
    ):
        rows = (
            [signal, *(f"{value * 100:.1f}" for value in misses), f"{np.mean(misses) * 100:.2f}"]
            for signal, misses in rejecting.items()
        )
        head = ["left out", *(f"{part:.0%}" for part in REJECTED), "mean"]
        lines += ["", f"{title}, {what}:", *_table(head, rows)]
    lines += ["Calibration: mean quality of a class, and the share of it that matched, in %:"]
    rows = ([f"{q:.2f}", _percent(part), str(n)] for q, part, n in found.calibration)
    return [*lines, *_table(["quality", "matched at FAR 1e-4", "faces"], rows)]


def _detection(measured: Measured) -> list[str]:
    lines = ["## Detection", "", "With the full search, at the default `min_confidence` of 0.7:"]
    lines += _table(
        ["detector", "set", "found of faces", "surplus", "pictures"],
        (
            [
                detector,
                name,
                f"{count.found} of {count.faces}",
                str(count.surplus),
                str(count.pictures),
            ]
            for detector, seen in measured.detection.items()
            for name, count in seen.by_set.items()
        ),
    )
    lines += ["Faces found in sets without labels:"]
    lines += _table(
        ["detector", "set", "found", "pictures"],
        (
            [detector, name, str(count.found), str(count.pictures)]
            for detector, seen in measured.detection.items()
            for name, count in seen.uncounted.items()
        ),
    )
    lines += ["False faces on pictures without a face:"]
    lines += _table(
        ["detector", "false faces", "pictures", "in"],
        (
            [d, str(seen.false_faces), str(seen.without_face), ", ".join(seen.false_in) or "-"]
            for d, seen in measured.detection.items()
        ),
    )
    lines += ["A single detection at one size, without the search:"]
    lines += _table(
        ["detector", "longest side", "found of faces", "false faces"],
        (
            [d, str(side), f"{count.found} of {count.faces}", str(seen.false_by_size.get(side, 0))]
            for d, seen in measured.detection.items()
            for side, count in seen.by_size.items()
        ),
    )
    return lines


def _turned(measured: Measured) -> list[str]:
    lines = [
        "## Turned pictures",
        "",
        "Turned copies of all one-face pictures, and their cosine to the upright picture:",
    ]
    return lines + _table(
        ["detector", "turned by", "found", "cosine, median", "lowest 5 %"],
        (
            [
                detector,
                f"{angle}°",
                f"{copies.found} of {copies.pictures}",
                f"{copies.median:.3f}",
                f"{np.percentile(copies.cosines, 5):.3f}" if copies.cosines else "-",
            ]
            for detector, angles in measured.turned.items()
            for angle, copies in angles.items()
        ),
    )


def _left_out(measured: Measured) -> list[str]:
    lines = ["## Left out", ""]
    lines += [f"- {line}" for line in left_out(measured)]
    lines += [f"- not measured: {reason}." for reason in measured.models.refused.values()]
    if measured.models.missing:
        names = ", ".join(measured.models.missing)
        lines.append(f"- not measured, because the weights were not available: {names}.")
    return [*lines, ""]


def _targets(measured: Measured) -> list[str]:
    return [
        "## Targets",
        *_table(
            ["what", "target", "measured", ""],
            (
                [one.target.description, one.target.wanted, one.value or "-", one.outcome]
                for one in verdicts(key_values(measured))
            ),
        ),
    ]


def _plots(measured: Measured, images: Path) -> list[str]:
    if not measured.verification:
        return []
    import matplotlib as mpl  # noqa: PLC0415  an extra, for this command only

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    roc, axes = plt.subplots(figsize=(6, 4))
    for (name, embedder), found in measured.verification.items():
        rates = np.logspace(-4.5, -0.5, 60)
        ordered = np.sort(found.impostors)[::-1]
        cut = ordered[(rates * len(ordered)).astype(int)]
        axes.semilogx(rates, [(found.genuine > t).mean() for t in cut], label=f"{embedder}, {name}")
    axes.set(xlabel="false accept rate", ylabel="true accept rate", ylim=(0.9, 1.002))
    axes.legend()
    _save(roc, images / "accuracy-roc.png")
    reject, axes = plt.subplots(figsize=(6, 4))
    (_, embedder), found = next(iter(measured.verification.items()))
    for signal, misses in found.rejecting.items():
        axes.plot(np.array(REJECTED) * 100, np.array(misses) * 100, label=signal)
    axes.set(xlabel="% of faces left out", ylabel="% of genuine pairs missed", title=embedder)
    axes.legend()
    _save(reject, images / "accuracy-reject.png")
    return [
        "![true accept rate by false accept rate](images/accuracy-roc.png)",
        "![misses by share left out](images/accuracy-reject.png)",
        "",
    ]


def _save(figure: object, path: Path) -> None:
    # No date in the file: the same numbers give the same picture.
    figure.savefig(path, dpi=110, bbox_inches="tight", metadata={"Software": None})  # type: ignore[attr-defined]

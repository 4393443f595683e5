"""Scored faces as tables that a person can read."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from schemas.scored_face import ScoredFace

SCORE_COLUMNS = ("qual", "front", "symm", "resol", "conf")


def faces_table(first: str = "user", *extra: str, header: bool = True) -> Table:
    """An empty table of scored faces, with ``extra`` columns before the milliseconds.

    Fixed widths keep rows that are printed one by one aligned.
    """
    table = Table(show_header=header, box=None, pad_edge=False, header_style="bold")
    table.add_column(first, min_width=15, no_wrap=True)
    table.add_column("face", min_width=4)
    table.add_column("box", min_width=16, no_wrap=True)
    for name in SCORE_COLUMNS:
        table.add_column(name, min_width=5, justify="right")
    table.add_column("provenance", min_width=27, overflow="fold")
    for name in extra:
        table.add_column(name, min_width=22, no_wrap=True)
    table.add_column("ms", min_width=3, justify="right")
    return table


def box_text(face: ScoredFace) -> str:
    """Left, top, width and height in whole pixels."""
    box = face.bounding_box
    return f"{box.x:.0f},{box.y:.0f} {box.width:.0f}×{box.height:.0f}" if box else "-"  # noqa: RUF001


def provenance_text(face: ScoredFace) -> Text:
    """``real``, or ``simulated`` with its reason."""
    if face.provenance == "real":
        return Text("real", style="green")
    return Text(f"simulated: {face.fallback_reason}", style="yellow")


def milliseconds(face: ScoredFace) -> str:
    """What scoring took, without the wait in the queue."""
    spent = face.timings_ms
    if spent is None:
        return "-"
    steps = (spent.fetch, spent.decode, spent.detect, spent.align, spent.embed, spent.assess)
    return f"{sum(step or 0 for step in steps):.0f}"


def scores(face: ScoredFace) -> list[str]:
    """The five scores, two decimals."""
    return [
        f"{value:.2f}"
        for value in (
            face.quality,
            face.frontality,
            face.symmetry,
            face.resolution,
            face.confidence,
        )
    ]


def face_row(face: ScoredFace, first: str | None = None, *extra: str) -> list[str | Text]:
    """One row of ``faces_table``."""
    return [
        Text(face.user_id if first is None else first),
        f"{face.face_index + 1}/{face.face_count}",
        box_text(face),
        *scores(face),
        provenance_text(face),
        *(Text(one) for one in extra),
        milliseconds(face),
    ]

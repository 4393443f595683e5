"""Scored faces as tables that a person can read."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from schemas.scored_face import ScoredFace

COLUMNS = (
    ("user", 16),
    ("face", 5),
    ("box", 17),
    ("quality", 4),
    ("frontality", 4),
    ("symmetry", 4),
    ("resolution", 4),
    ("confidence", 4),
    ("provenance", 26),
    ("ms", 5),
)


def faces_table(*, header: bool = True) -> Table:
    """An empty table of scored faces; fixed widths keep single rows aligned."""
    table = Table(show_header=header, box=None, pad_edge=False)
    for name, width in COLUMNS:
        table.add_column(name, min_width=width, overflow="fold")
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
    steps = (spent.fetch, spent.decode, spent.detect, spent.align, spent.embed)
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


def face_row(face: ScoredFace) -> list[str | Text]:
    """One row of ``faces_table``."""
    return [
        Text(face.user_id),
        f"{face.face_index + 1}/{face.face_count}",
        box_text(face),
        *scores(face),
        provenance_text(face),
        milliseconds(face),
    ]

"""Scored faces as a table for people."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from schemas.scored_face import ScoredFace, Timings
from schemas.shadow_scored import SCORES

SCORE_COLUMNS = ("qual", "front", "symm", "resol", "conf")


def faces_table(first: str = "user", *extra: str, header: bool = True) -> Table:
    """Return an empty table of scored faces, with ``extra`` columns before the milliseconds.

    The widths are fixed, so that tables printed one after the other line up.
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
    """Format the box: left, top, width and height in pixels."""
    box = face.bounding_box
    return f"{box.x:.0f},{box.y:.0f} {box.width:.0f}×{box.height:.0f}" if box else "-"  # noqa: RUF001


def provenance_text(face: ScoredFace) -> Text:
    """Return ``real``, or ``simulated`` with its reason."""
    if face.provenance == "real":
        return Text("real", style="green")
    return Text(f"simulated: {face.fallback_reason}", style="yellow")


def milliseconds_of(timings: Timings) -> float:
    """Sum the time spent on one picture, without the wait in the queue."""
    steps = (
        *(timings.fetch, timings.decode, timings.detect),
        *(timings.align, timings.embed, timings.assess),
    )
    return sum(step or 0.0 for step in steps)


def milliseconds_text(face: ScoredFace) -> str:
    """Format the time spent on the face's picture; "-" where it is unknown."""
    return "-" if face.timings_ms is None else f"{milliseconds_of(face.timings_ms):.0f}"


def scores(face: ScoredFace) -> list[str]:
    """Format the five scores with two decimals."""
    return [f"{getattr(face, name):.2f}" for name in SCORES]


def face_row(face: ScoredFace, first: str | None = None, *extra: str) -> list[str | Text]:
    """Return the row of a face in ``faces_table``."""
    return [
        Text(face.user_id if first is None else first),
        f"{face.face_index + 1}/{face.face_count}",
        box_text(face),
        *scores(face),
        provenance_text(face),
        *(Text(one) for one in extra),
        milliseconds_text(face),
    ]

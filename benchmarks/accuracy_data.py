"""Read the folder of labelled pictures that ``make accuracy DATA=…`` measures on.

``index.csv`` has a row per picture: ``set`` and ``file`` (path in the folder) are required;
``identity`` and ``n_faces`` (0 for a picture without a face) may be empty; other columns are
ignored. ``faces.csv`` is optional and has a row per face: ``file``, ``left``, ``top``, ``width``,
``height`` in source pixels; it overrides ``n_faces``. Each ``<name>_pairs.csv`` has labelled pairs:
``fold``, ``file_a``, ``file_b`` and ``same`` (1 or 0). Pictures of one person are in one folder or
have one identity in the index.

``labels/`` has the boxes of public pictures that their publishers labelled. They apply, by the
picture's sha256, when the folder does not describe a picture's faces.
"""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

Box = tuple[float, float, float, float]
"""(left, top, width, height), source pixels."""


@dataclass(frozen=True)
class Picture:
    """A row of ``index.csv``; ``n_faces`` is None and ``boxes`` empty if unknown."""

    set: str
    file: str
    identity: str
    n_faces: int | None
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True)
class Pair:
    """A row of a pair list."""

    fold: str
    file_a: str
    file_b: str
    same: bool


@dataclass(frozen=True)
class Data:
    """The pictures and the pairs of a folder; ``pairs`` by the name of their list."""

    folder: Path
    pictures: tuple[Picture, ...]
    pairs: dict[str, tuple[Pair, ...]]

    def read(self, file: str) -> bytes:
        return (self.folder / file).read_bytes()

    def identity_of(self, file: str) -> str:
        known = {picture.file: picture.identity for picture in self.pictures}
        return known.get(file) or Path(file).parent.as_posix()


def read_data(folder: Path, labels: Mapping[str, tuple[Box, ...]] | None = None) -> Data:
    """Read the folder; ``labels`` (boxes by sha256) defaults to ``carried_labels``.

    Raises ``SystemExit`` when a file or a column is missing.
    """
    index = folder / "index.csv"
    lists = sorted(folder.glob("*_pairs.csv"))
    if not index.is_file() and not lists:
        raise SystemExit(
            f"{folder}: neither index.csv nor a *_pairs.csv; docs/accuracy.md has the format"
        )
    known = carried_labels() if labels is None else labels
    pictures = tuple(_pictures(index, known)) if index.is_file() else ()
    pairs = {path.name.removesuffix("_pairs.csv"): tuple(_pairs(path)) for path in lists}
    return Data(folder, pictures, pairs)


def carried_labels() -> dict[str, tuple[Box, ...]]:
    """Return the faces of public pictures by the picture's sha256 (``labels/README.md``)."""
    found: dict[str, tuple[Box, ...]] = {}
    for path in resources.files("benchmarks").joinpath("labels").iterdir():
        if path.name.endswith(".csv"):
            found |= _boxes(path, "sha256")
    return found


def _pictures(path: Path, labels: Mapping[str, tuple[Box, ...]]) -> Iterator[Picture]:
    described = path.with_name("faces.csv")
    boxes = _boxes(described, "file") if described.is_file() else {}
    for row in _rows(path, ("set", "file")):
        count = (row.get("n_faces") or "").strip()
        here = boxes.get(row["file"], ())
        if not count and not here:
            here = labels.get(_sha256(path.parent / row["file"]), ())
        n_faces = len(here) if here else int(count) if count else None
        yield Picture(row["set"], row["file"], row.get("identity") or "", n_faces, here)


def _boxes(path: Path | Traversable, key: str) -> dict[str, tuple[Box, ...]]:
    found: dict[str, list[Box]] = defaultdict(list)
    for row in _rows(path, (key, "left", "top", "width", "height")):
        left, top, width, height = (float(row[side]) for side in ("left", "top", "width", "height"))
        found[row[key]].append((left, top, width, height))
    return {name: tuple(boxes) for name, boxes in found.items()}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _pairs(path: Path) -> Iterator[Pair]:
    for row in _rows(path, ("fold", "file_a", "file_b", "same")):
        yield Pair(row["fold"], row["file_a"], row["file_b"], row["same"] == "1")


def _rows(path: Path | Traversable, needed: tuple[str, ...]) -> Iterator[dict[str, str]]:
    reader = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
    if missing := [name for name in needed if name not in (reader.fieldnames or ())]:
        raise SystemExit(f"{path}: columns missing: {', '.join(missing)}")
    yield from reader

"""The folder that `make accuracy DATA=…` measures on.

`index.csv` has a row a picture: `set` and `file` (its path in the folder) are needed, `identity`
and `n_faces` (how many faces there are; 0 makes it a picture without a face) may be empty, further
columns are ignored. Every `<name>_pairs.csv` has labelled pairs: `fold`, `file_a`, `file_b` and
`same` (1 or 0); two pictures of one person lie in one folder, or have one identity in the index.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Picture:
    """One row of `index.csv`; `n_faces` is None where nobody counted."""

    set: str
    file: str
    identity: str
    n_faces: int | None


@dataclass(frozen=True)
class Pair:
    """One row of a pair list."""

    fold: str
    file_a: str
    file_b: str
    same: bool


@dataclass(frozen=True)
class Data:
    """`pairs`: by the name of their list."""

    folder: Path
    pictures: tuple[Picture, ...]
    pairs: dict[str, tuple[Pair, ...]]

    def read(self, file: str) -> bytes:
        return (self.folder / file).read_bytes()

    def identity_of(self, file: str) -> str:
        known = {picture.file: picture.identity for picture in self.pictures}
        return known.get(file) or Path(file).parent.as_posix()


def read_data(folder: Path) -> Data:
    """Raises SystemExit with what is missing or wrong in the folder."""
    index = folder / "index.csv"
    lists = sorted(folder.glob("*_pairs.csv"))
    if not index.is_file() and not lists:
        raise SystemExit(
            f"{folder}: neither index.csv nor a *_pairs.csv; docs/accuracy.md has the format"
        )
    pictures = tuple(_pictures(index)) if index.is_file() else ()
    pairs = {path.name.removesuffix("_pairs.csv"): tuple(_pairs(path)) for path in lists}
    return Data(folder, pictures, pairs)


def _pictures(path: Path) -> Iterator[Picture]:
    for row in _rows(path, ("set", "file")):
        count = (row.get("n_faces") or "").strip()
        yield Picture(
            row["set"], row["file"], row.get("identity") or "", int(count) if count else None
        )


def _pairs(path: Path) -> Iterator[Pair]:
    for row in _rows(path, ("fold", "file_a", "file_b", "same")):
        yield Pair(row["fold"], row["file_a"], row["file_b"], row["same"] == "1")


def _rows(path: Path, needed: tuple[str, ...]) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if missing := [name for name in needed if name not in (reader.fieldnames or ())]:
            raise SystemExit(f"{path}: columns missing: {', '.join(missing)}")
        yield from reader

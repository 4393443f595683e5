"""Write the JSON Schema files from the records: ``python -m schemas.generate [--check]``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from schemas.json_schema import SCHEMAS

FOLDER = Path(__file__).parent / "json"


def schema_texts() -> dict[str, str]:
    """Return the name and text of every file that the folder must contain."""
    return {
        f"{topic}.v1.schema.json": json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"
        for topic, schema in SCHEMAS.items()
    }


def drifted(folder: Path) -> list[str]:
    """Return the names of files that are missing, outdated, or not generated from any record."""
    texts = schema_texts()
    strangers = [path.name for path in folder.glob("*.json") if path.name not in texts]
    changed = [
        name
        for name, text in texts.items()
        if not (folder / name).is_file() or (folder / name).read_text("utf-8") != text
    ]
    return sorted([*changed, *strangers])


def main(arguments: Sequence[str] | None = None, folder: Path = FOLDER) -> int:
    """Write the files, or with ``--check`` only compare them. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m schemas.generate",
        description="Write the JSON Schema files from the records.",
    )
    parser.add_argument("--check", action="store_true", help="only list the files that differ")
    if parser.parse_args(arguments).check:
        names = drifted(folder)
        for name in names:
            print(f"{name}: differs from the records; run python -m schemas.generate")
        return 1 if names else 0
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in schema_texts().items():
        (folder / name).write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

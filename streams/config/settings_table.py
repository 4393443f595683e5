"""The settings as a Markdown table.

Run ``python -m streams.config.settings_table [--check] docs/configuration.md``. The table between
the two markers of the file is generated from the settings class; ``--check`` only compares, and
exits with 1 when they differ.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from streams.config.settings import Settings

BEGIN, END = "<!-- settings: begin -->", "<!-- settings: end -->"


def settings_table() -> str:
    """One row for each setting: environment name, default, meaning."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = _default(field.default)
        meaning = field.description or ""
        choices = _choices(field.annotation)
        if choices:
            meaning += f" One of {choices}."
        rows.append(f"| `{name.upper()}` | {default} | {meaning} |")
    return "\n".join(rows)


def _default(value: Any) -> str:
    if value in (None, (), ""):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _choices(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(annotation))
    return ""


def with_table(text: str) -> str:
    """``text`` with the table between its markers made anew."""
    head, found_begin, rest = text.partition(BEGIN)
    _, found_end, tail = rest.partition(END)
    if not (found_begin and found_end):
        raise SystemExit(f"the markers {BEGIN} and {END} are missing")
    return f"{head}{BEGIN}\n{settings_table()}\n{END}{tail}"


def main(arguments: list[str]) -> int:
    """Write the table, or check it."""
    check = "--check" in arguments
    for name in (one for one in arguments if one != "--check"):
        path = Path(name)
        text = path.read_text(encoding="utf-8")
        wanted = with_table(text)
        if text == wanted:
            continue
        if check:
            print(f"{name}: the table of settings has drifted; run `make format`", file=sys.stderr)
            return 1
        path.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

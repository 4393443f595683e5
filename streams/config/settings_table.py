"""The settings as Markdown tables, one for each section.

Run ``python -m streams.config.settings_table [--check] docs/configuration.md``. The text between
the two markers of the file is generated from the settings classes; ``--check`` only compares, and
exits with 1 when they differ.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from streams.config.flow_settings import FlowSettings
from streams.config.index_settings import IndexSettings
from streams.config.kafka_settings import KafkaSettings
from streams.config.log_settings import LogSettings
from streams.config.model_settings import ModelSettings
from streams.config.picture_settings import PictureSettings
from streams.config.scoring_settings import ScoringSettings
from streams.config.section import Section
from streams.config.web_settings import WebSettings

BEGIN, END = "<!-- settings: begin -->", "<!-- settings: end -->"
SECTIONS: dict[str, type[Section]] = {
    "Kafka": KafkaSettings,
    "Models": ModelSettings,
    "Pictures": PictureSettings,
    "Index": IndexSettings,
    "Scoring": ScoringSettings,
    "Flow": FlowSettings,
    "Web": WebSettings,
    "Logs": LogSettings,
}


def settings_tables() -> str:
    """Return a heading and a table for each section."""
    return "\n\n".join(
        f"## {title}\n\n{_table(section.model_fields)}" for title, section in SECTIONS.items()
    )


def _table(fields: dict[str, FieldInfo]) -> str:
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in fields.items():
        meaning = field.description or ""
        choices = _choices(field.annotation)
        if choices:
            meaning += f" One of {choices}."
        rows.append(f"| `{name.upper()}` | {_default(field.default)} | {meaning} |")
    return "\n".join(rows)


def _default(value: object) -> str:
    if value in (None, (), ""):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _choices(annotation: object) -> str:
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(annotation))
    return ""


def with_tables(text: str) -> str:
    """Return ``text`` with the tables between its markers generated anew."""
    head, found_begin, rest = text.partition(BEGIN)
    _, found_end, tail = rest.partition(END)
    if not (found_begin and found_end):
        raise SystemExit(f"the markers {BEGIN} and {END} are missing")
    return f"{head}{BEGIN}\n{settings_tables()}\n{END}{tail}"


def main(arguments: list[str]) -> int:
    """Write the tables, or check them."""
    check = "--check" in arguments
    for name in (one for one in arguments if one != "--check"):
        path = Path(name)
        text = path.read_text(encoding="utf-8")
        wanted = with_tables(text)
        if text == wanted:
            continue
        if check:
            print(
                f"{name}: the tables of settings have drifted; run `make format`", file=sys.stderr
            )
            return 1
        path.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

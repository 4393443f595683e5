"""The tables of settings in the documentation are generated from the settings classes."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.config.settings import Settings
from streams.config.settings_table import BEGIN, END, main, settings_tables, with_tables

PAGE = f"# Settings\n\n{BEGIN}\nold\n{END}\n\nMore.\n"
ROWS = [line for line in settings_tables().splitlines() if line.startswith("|")]


def test_every_setting_has_a_row_with_its_meaning() -> None:
    """Rows are in the order of ``Settings``."""
    cells = [[cell.strip() for cell in row.split("|")] for row in ROWS if row.startswith("| `")]
    assert [row[1].strip("`") for row in cells] == [name.upper() for name in Settings.model_fields]
    assert all(row[3] for row in cells)


@pytest.mark.parametrize(
    "row",
    [
        "| `KAFKA_PORT` | `9092` |",
        "| `KAFKA_CREATE_TOPICS` | `true` |",
        "| `KAFKA_BOOTSTRAP_SERVERS` |  |",
        "| `IMAGE_URI_ALLOW` |  |",
        "| `KAFKA_TOPIC_PREFIX` |  |",
        "| `MODEL_CACHE` | `~/.cache/facestream/models` |",
        "| `ML_BACKOFF_MS` | `1000` |",
    ],
)
def test_a_default_is_written_as_in_the_environment(row: str) -> None:
    """The cell is empty when the setting is unset by default."""
    assert row in settings_tables()


def test_choices_are_listed() -> None:
    """A setting that accepts certain words only names them."""
    assert "One of `auto`, `json`, `console`." in settings_tables()


def test_no_text_breaks_out_of_its_cell() -> None:
    """A bar or a line break in a description would break the table."""
    assert all(row.count("|") == 4 for row in ROWS)


def test_only_the_text_between_the_markers_is_replaced() -> None:
    """The rest of the page is written by hand."""
    assert with_tables(PAGE) == f"# Settings\n\n{BEGIN}\n{settings_tables()}\n{END}\n\nMore.\n"


@pytest.mark.parametrize("text", ["", f"{BEGIN}\n", f"{END}\n{BEGIN}\n"])
def test_missing_markers_are_an_error(text: str) -> None:
    """Appending second tables would leave the old ones in place."""
    with pytest.raises(SystemExit, match="settings: begin"):
        with_tables(text)


def test_the_check_fails_until_the_page_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The check changes nothing."""
    page = tmp_path / "configuration.md"
    page.write_text(PAGE)
    assert main(["--check", str(page)]) == 1
    assert "make format" in capsys.readouterr().err
    assert page.read_text() == PAGE
    assert main([str(page)]) == 0
    assert main(["--check", str(page)]) == 0

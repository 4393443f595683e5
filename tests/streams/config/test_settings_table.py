"""The table of settings in the documentation: made from the class, and checked against it."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.config.settings import Settings
from streams.config.settings_table import BEGIN, END, main, settings_table, with_table

PAGE = f"# Settings\n\n{BEGIN}\nold\n{END}\n\nMore.\n"


def test_every_setting_has_a_row_that_says_what_it_means() -> None:
    """In the order of the class."""
    rows = settings_table().splitlines()[2:]
    names = [row.split("|")[1].strip().strip("`") for row in rows]
    assert names == [name.upper() for name in Settings.model_fields]
    assert all(row.split("|")[3].strip() for row in rows)


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
def test_defaults_are_written_as_one_would_set_them(row: str) -> None:
    """And nothing stands for unset."""
    assert row in settings_table()


def test_choices_are_listed() -> None:
    """Where only certain words are taken."""
    assert "One of `auto`, `json`, `console`." in settings_table()


def test_no_text_breaks_out_of_its_cell() -> None:
    """A bar or a line's end in a description would."""
    assert all(row.count("|") == 4 for row in settings_table().splitlines())


def test_only_what_is_between_the_markers_is_replaced() -> None:
    """The rest of the page is the writer's."""
    assert with_table(PAGE) == f"# Settings\n\n{BEGIN}\n{settings_table()}\n{END}\n\nMore.\n"


@pytest.mark.parametrize("text", ["", f"{BEGIN}\n", f"{END}\n{BEGIN}\n"])
def test_missing_markers_are_told(text: str) -> None:
    """Rather than appending a second table."""
    with pytest.raises(SystemExit, match="settings: begin"):
        with_table(text)


def test_a_page_is_written_and_then_found_in_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The check fails on a drifted table and changes nothing; writing mends it."""
    page = tmp_path / "configuration.md"
    page.write_text(PAGE)
    assert main(["--check", str(page)]) == 1
    assert "make format" in capsys.readouterr().err
    assert page.read_text() == PAGE
    assert main([str(page)]) == 0
    assert main(["--check", str(page)]) == 0

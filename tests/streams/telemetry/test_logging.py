"""Log lines as a process writes them, for operators and log collectors."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from typing import Any

import pytest

from streams.telemetry.logging import RateLimitedLibraries

#: Logs for the project and for libraries, after replacing ``sys.stderr`` as Faust's worker does.
PROGRAM = """
import logging, logging.config, sys
import structlog
from streams.telemetry.logging import configure_logging
from streams.config.settings import load_settings

logging.config.dictConfig(configure_logging(load_settings(log_format={format!r}, log_level="info")))
sys.stderr = open("/dev/null", "w")
own = structlog.get_logger("streams.scoring.scorer")
own.debug("too fine")
own.info("event scored", faces=2, user_id="zoë\\nline")
structlog.get_logger("agents.index_faces").warning("index is away")
logging.getLogger("aiokafka.consumer").info("not logged")
logging.getLogger("faust.transport").info("not logged")
logging.getLogger("some.library").info("not logged")
logging.getLogger("aiokafka.consumer").warning("lost %s of %d", "broker", 3)
try:
    raise ValueError("a bug")
except ValueError:
    own.exception("handler failed")
"""


def output(log_format: str) -> str:
    """Run ``PROGRAM`` and return its standard error."""
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(format=log_format)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=30,
        check=True,
    )
    assert process.stdout == "", "standard output is reserved for results"
    return process.stderr


@pytest.fixture(scope="module")
def lines() -> list[dict[str, Any]]:
    """The lines in JSON: ``auto`` chooses it because standard error is not a terminal here."""
    return [json.loads(line) for line in output("auto").splitlines()]


def test_each_log_event_is_one_line_of_json(lines: list[dict[str, Any]]) -> None:
    """It has time, level and logger, and its fields keep their types."""
    line = lines[0]
    assert (line["event"], line["level"], line["logger"]) == (
        "event scored",
        "info",
        "streams.scoring.scorer",
    )
    assert (line["faces"], line["user_id"]) == (2, "zoë\nline")
    assert line["timestamp"].endswith("Z")


def test_libraries_log_warnings_and_errors_only(lines: list[dict[str, Any]]) -> None:
    """Their lines have the same format as the project's."""
    assert [line["event"] for line in lines] == [
        "event scored",
        "index is away",
        "lost broker of 3",
        "handler failed",
    ]
    assert (lines[2]["level"], lines[2]["logger"]) == ("warning", "aiokafka.consumer")


def test_a_traceback_is_a_field_of_its_line(lines: list[dict[str, Any]]) -> None:
    """A collector would read a traceback of several lines as several events."""
    assert lines[-1]["level"] == "error"
    assert "ValueError: a bug" in lines[-1]["exception"]


def test_the_console_format_is_plain_text() -> None:
    """It has no colour codes where standard error is not a terminal."""
    text = output("console")
    assert "event scored" in text
    assert "faces=2" in text
    assert "ValueError: a bug" in text
    assert not text.startswith("{")
    assert "\x1b[" not in text


def test_repeated_lines_of_a_library_are_rate_limited() -> None:
    """aiokafka logs a hundred a second without a broker; the project's lines are not limited."""
    rate_limit = RateLimitedLibraries()

    def written(name: str, template: str, *arguments: object) -> bool:
        return rate_limit.filter(
            logging.LogRecord(name, logging.WARNING, "", 0, template, arguments, None)
        )

    assert written("aiokafka.conn", "no %s", "broker-1")
    assert not written("aiokafka.conn", "no %s", "broker-2")
    assert written("aiokafka.conn", "another line")
    assert written("streams.kafka.connection", "waiting for the broker")
    assert written("streams.kafka.connection", "waiting for the broker")

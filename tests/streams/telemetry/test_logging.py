"""Log lines, as a process writes them: what an operator and a collector see."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from typing import Any

import pytest

from streams.telemetry.logging import RateLimitedLibraries

#: Our own lines, those of libraries, and what Faust's worker does to ``sys.stderr``.
PROGRAM = """
import logging, logging.config, sys
import structlog
from streams.telemetry.logging import configure_logging
from streams.config.settings import load_settings

logging.config.dictConfig(configure_logging(load_settings(log_format={format!r}, log_level="info")))
sys.stderr = open("/dev/null", "w")
ours = structlog.get_logger("streams.scoring.scorer")
ours.debug("too fine")
ours.info("event scored", faces=2, user_id="zoë\\nline")
structlog.get_logger("agents.index_faces").warning("index is away")
logging.getLogger("aiokafka.consumer").info("nobody asked")
logging.getLogger("faust.transport").info("nobody asked")
logging.getLogger("some.library").info("nobody asked")
logging.getLogger("aiokafka.consumer").warning("lost %s of %d", "broker", 3)
try:
    raise ValueError("a bug")
except ValueError:
    ours.exception("handler failed")
"""


def output(log_format: str) -> str:
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(format=log_format)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=30,
        check=True,
    )
    assert process.stdout == "", "standard output is for results"
    return process.stderr


@pytest.fixture(scope="module")
def lines() -> list[dict[str, Any]]:
    """The lines in JSON; standard error is no terminal here, so ``auto`` means that."""
    return [json.loads(line) for line in output("auto").splitlines()]


def test_each_event_is_one_line_of_json(lines: list[dict[str, Any]]) -> None:
    """With its time, level and logger; its fields keep their types."""
    line = lines[0]
    assert (line["event"], line["level"], line["logger"]) == (
        "event scored",
        "info",
        "streams.scoring.scorer",
    )
    assert (line["faces"], line["user_id"]) == (2, "zoë\nline")
    assert line["timestamp"].endswith("Z")


def test_libraries_speak_only_when_something_is_wrong(lines: list[dict[str, Any]]) -> None:
    """In the same form as our own lines."""
    assert [line["event"] for line in lines] == [
        "event scored",
        "index is away",
        "lost broker of 3",
        "handler failed",
    ]
    assert (lines[2]["level"], lines[2]["logger"]) == ("warning", "aiokafka.consumer")


def test_a_traceback_is_part_of_its_line(lines: list[dict[str, Any]]) -> None:
    """A collector would take each of its lines for an event."""
    assert lines[-1]["level"] == "error"
    assert "ValueError: a bug" in lines[-1]["exception"]


def test_people_get_lines_to_read() -> None:
    """No JSON, and no colour codes where there is no terminal."""
    text = output("console")
    assert "event scored" in text
    assert "faces=2" in text
    assert "ValueError: a bug" in text
    assert not text.startswith("{")
    assert "\x1b[" not in text


def test_a_line_of_a_library_that_repeats_is_written_once_in_a_while() -> None:
    """aiokafka writes a hundred a second while the broker is away; ours all count."""
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

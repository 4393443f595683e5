"""Captures log lines in both formats, and looks for pictures and secrets in them."""

from __future__ import annotations

import base64
import codecs
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from streams.config.settings import load_settings
from streams.telemetry.logging import renderer

#: So many consecutive bytes are a leak. An error may quote the first eight of a file.
BYTES_IN_A_ROW = 12
_ANY, _HEX, _BASE64 = (re.compile(p, re.DOTALL) for p in (".+", "[0-9a-f]+", "[A-Za-z0-9+/=]+"))


@dataclass
class LogLines:
    """Every log line, in JSON and in the format for terminals."""

    lines: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    _renderers: Sequence[Sequence[Processor]] = field(
        default_factory=lambda: [
            renderer(load_settings(log_format=name)) for name in ("json", "console")
        ]
    )

    def __call__(self, _: WrappedLogger, method: str, event: EventDict) -> EventDict:
        """Render and keep an event, as structlog's last processor."""
        self.events.append(str(event["event"]))
        if event.get("exc_info") is True:
            event["exc_info"] = sys.exc_info()
        for processors in self._renderers:
            shown: Any = {**event, "level": method}
            for processor in processors:
                shown = processor(None, method, shown)
            self.lines.append(str(shown))
        raise structlog.DropEvent

    def clear(self) -> None:
        """Drop the lines so far."""
        self.lines.clear()
        self.events.clear()


@contextmanager
def captured_log() -> Iterator[LogLines]:
    """Capture everything that the block logs."""
    # Changed in place, as existing loggers refer to this list.
    processors = structlog.get_config()["processors"]
    before, log = list(processors), LogLines()
    processors[:] = [structlog.stdlib.add_log_level, log]
    level = structlog.get_config()["wrapper_class"]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(0))
    try:
        yield log
    finally:
        processors[:] = before
        structlog.configure(wrapper_class=level)


def leaked_picture(lines: Sequence[str], picture: bytes) -> str | None:
    """Return a piece of the picture that a line holds: raw, escaped, in hexadecimal or base64."""
    if len(picture) < 2 * BYTES_IN_A_ROW:
        return None
    # A character of base64 or hexadecimal holds less than a byte.
    length = 2 * BYTES_IN_A_ROW
    base64_pieces = {piece for line in lines for piece in _pieces(_BASE64, line, length)}
    hex_pieces = {piece for line in lines for piece in _pieces(_HEX, line.lower(), length)}
    raw_pieces = {piece for line in lines for piece in _pieces(_ANY, _unescaped(line))}
    for pieces, whole in (
        (raw_pieces, picture.decode("latin-1")),
        (base64_pieces, base64.b64encode(picture).decode()),
        (hex_pieces, picture.hex()),
    ):
        for piece in pieces:
            # Runs of few values, such as zeros, are in every picture.
            if piece in whole and len(set(piece)) > 4:
                return piece
    return None


def _pieces(pattern: re.Pattern[str], text: str, length: int = BYTES_IN_A_ROW) -> Iterator[str]:
    for run in pattern.findall(text):
        for at in range(len(run) - length + 1):
            yield run[at : at + length]


def leaked_secret(lines: Sequence[str], secrets: Sequence[str]) -> str | None:
    """Return a line that holds a secret, plain or in base64."""
    for line in lines:
        for secret in secrets:
            if secret in line or base64.b64encode(secret.encode()).decode() in line:
                return line
    return None


def _unescaped(line: str) -> str:
    # Messages show bytes as Python literals, and JSON escapes their backslashes.
    text = line.encode("latin-1", "backslashreplace").replace(b"\\\\", b"\\")
    try:
        return codecs.decode(text, "unicode_escape")
    except UnicodeDecodeError:
        return line

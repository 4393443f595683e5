"""Structured logs, one line per event: JSON in production, readable on a terminal.

Faust, aiokafka and this project's modules share one handler. It writes to ``sys.__stderr__``,
because Faust's worker replaces ``sys.stderr`` in some modes, and lines written there were lost.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

import structlog

from streams.config.settings import Settings

#: Libraries whose info lines do not help an operator.
QUIET = ("aiokafka", "faust", "mode", "asyncio", "httpx", "httpcore", "qdrant_client", "aiohttp")

REPEAT_AFTER_S = 10.0
#: Limit of remembered templates: a library that formats its own messages has unlimited ones.
MAX_TEMPLATES = 1000


class RateLimitedLibraries(logging.Filter):
    """Passes each line of a library once in ``REPEAT_AFTER_S``.

    Without a broker, aiokafka writes a hundred lines per second that differ only in numbers.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write the line. This project's own lines always are."""
        library = record.name.partition(".")[0]
        if library not in QUIET:
            return True
        # Keyed by the template: the formatted message differs in ids and addresses.
        line = (record.name, str(record.msg)[:200])
        now = time.monotonic()
        if now - self._last.get(line, -REPEAT_AFTER_S) < REPEAT_AFTER_S:
            return False
        if len(self._last) > MAX_TEMPLATES:
            self._last.clear()
        self._last[line] = now
        return True


def configure_logging(settings: Settings) -> dict[str, Any]:
    """Configure structlog, and return the ``logging.config`` dictionary for Faust's worker."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structured": {
                "()": structlog.stdlib.ProcessorFormatter,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    *renderer(settings),
                ],
                "foreign_pre_chain": shared,
            }
        },
        "filters": {"rate_limit": {"()": RateLimitedLibraries}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "structured",
                "stream": sys.__stderr__,
                "filters": ["rate_limit"],
            }
        },
        "loggers": {
            **{name: {"level": "WARNING"} for name in QUIET},
            **{name: {"level": settings.log_level.upper()} for name in ("streams", "agents")},
        },
        "root": {"level": "WARNING", "handlers": ["stderr"]},
    }


def renderer(settings: Settings) -> list[Any]:
    """Return the structlog processors that turn an event into a line."""
    terminal = sys.__stderr__ is not None and sys.__stderr__.isatty()
    if settings.log_format == "console" or (settings.log_format == "auto" and terminal):
        # The default traceback shows local variables, pictures among them.
        plain = structlog.dev.plain_traceback
        return [structlog.dev.ConsoleRenderer(colors=terminal, exception_formatter=plain)]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]

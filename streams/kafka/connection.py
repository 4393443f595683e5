"""Connections to Kafka: addresses, security, and waiting for a broker at start."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator

import structlog
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streams.config.kafka_settings import KafkaSettings
from streams.errors import StreamsError
from streams.kafka import unreadable_records as unreadable
from streams.kafka.security import security_options

log = structlog.get_logger(__name__)

# Here, because every client needs ``client_options``.
unreadable.install()

FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 5.0
UNSET_HINT = "KAFKA_BOOTSTRAP_SERVERS is not set; `facestream up` starts an embedded broker"


class BrokerUnavailable(StreamsError):
    """No broker answers at the address in the settings."""

    def __init__(self, settings: KafkaSettings, error: Exception) -> None:
        hint = (
            "check KAFKA_BOOTSTRAP_SERVERS"
            if settings.kafka_bootstrap_servers
            else "KAFKA_BOOTSTRAP_SERVERS is not set and no embedded broker runs "
            "(`facestream up` starts one)"
        )
        super().__init__(f"no broker at {settings.bootstrap_servers}: {hint} ({error})")


def client_options(settings: KafkaSettings) -> dict[str, object]:
    """Return the options that every aiokafka client shares."""
    return {"bootstrap_servers": settings.bootstrap_servers, **security_options(settings)}


async def wait_for_broker(
    settings: KafkaSettings, should_stop: Callable[[], bool], deadline_s: float | None = None
) -> bool:
    """Wait until a broker answers, with one log line for each failed attempt.

    Returns False when ``should_stop`` returns True (it is called ten times a second), or when
    ``deadline_s`` seconds have passed.
    """
    waiting = asyncio.ensure_future(_wait_for_broker(settings, deadline_s))
    try:
        while not should_stop():
            done, _ = await asyncio.wait({waiting}, timeout=0.1)
            if done:
                return waiting.result()
        return False
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def _wait_for_broker(settings: KafkaSettings, deadline_s: float | None) -> bool:
    loop = asyncio.get_running_loop()
    until = None if deadline_s is None else loop.time() + deadline_s
    wait = FIRST_WAIT_S
    while (reason := await _unreachable(settings)) is not None:
        if until is not None and loop.time() + wait > until:
            return False
        hint = {} if settings.kafka_bootstrap_servers else {"hint": UNSET_HINT}
        log.warning(
            "waiting for the broker",
            bootstrap_servers=settings.bootstrap_servers,
            reason=reason,
            next_try_s=wait,
            **hint,
        )
        await asyncio.sleep(wait)
        wait = min(wait * 2, LONGEST_WAIT_S)
    return True


class _ReasonCollector(logging.Handler):
    """Collects aiokafka's log messages about a failed connection.

    The exception says only that no broker could be reached. The reason (connection refused, a
    certificate, a password) is in the log.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.reasons: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.reasons.append(record.getMessage())


@contextlib.contextmanager
def _collected_reasons() -> Iterator[_ReasonCollector]:
    logger = logging.getLogger("aiokafka")
    before = logger.handlers, logger.propagate
    collector = _ReasonCollector()
    logger.handlers, logger.propagate = [collector], False
    try:
        yield collector
    finally:
        logger.handlers, logger.propagate = before


async def _unreachable(settings: KafkaSettings) -> str | None:
    """Return why no broker answers, or None when one does."""
    with _collected_reasons() as collector:
        admin = AIOKafkaAdminClient(**client_options(settings), request_timeout_ms=5000)
        try:
            await admin.start()
            return None
        except (KafkaError, OSError) as error:
            return "; ".join(dict.fromkeys(collector.reasons)) or str(error) or type(error).__name__
        finally:
            with contextlib.suppress(Exception):
                await admin.close()

"""Connecting to Kafka: addresses for every client, and waiting for a broker at start."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient

import streams.kafka.connection
from streams.app import create_app
from streams.config.settings import Settings, load_settings
from streams.engine.credentials import faust_broker_urls
from streams.kafka.connection import client_options, wait_for_broker
from streams.local.embedded_broker import EmbeddedBroker, free_port


@dataclass
class Log:
    """Records warnings."""

    lines: list[dict[str, Any]] = field(default_factory=list)

    def warning(self, event: str, **fields: Any) -> None:
        """Record a warning as structlog would log it."""
        self.lines.append({"event": event, **fields})


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    """Record the log of the connection module, and make its waits short."""
    written = Log()
    monkeypatch.setattr(streams.kafka.connection, "log", written)
    monkeypatch.setattr(streams.kafka.connection, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(streams.kafka.connection, "LONGEST_WAIT_S", 0.04)
    return written


def nowhere(**changes: Any) -> Settings:
    """Return settings with the address of a free port."""
    return load_settings(kafka_bootstrap_servers=f"127.0.0.1:{free_port()}", **changes)


def never() -> bool:
    return False


@pytest.mark.parametrize(
    ("servers", "urls"),
    [
        ("a:9092", "aiokafka://a:9092"),
        ("a:9092, b:9093", "aiokafka://a:9092;aiokafka://b:9093"),
        ("[::1]:9092", "aiokafka://[::1]:9092"),
    ],
)
async def test_faust_gets_the_urls_of_all_brokers(servers: str, urls: str) -> None:
    """Faust parses them back to the same addresses."""
    settings = load_settings(kafka_bootstrap_servers=servers)
    assert faust_broker_urls(settings) == urls
    assert ";".join(str(url) for url in create_app(settings).conf.broker) == urls


async def test_a_client_connects_when_the_first_broker_is_down() -> None:
    """aiokafka accepts a list with blanks."""
    with EmbeddedBroker(free_port()) as broker:
        servers = f"127.0.0.1:{free_port()}, {broker.address}"
        settings = load_settings(kafka_bootstrap_servers=servers)
        admin = AIOKafkaAdminClient(**client_options(settings))
        await admin.start()
        assert await admin.list_topics() == []
        await admin.close()


async def test_waiting_ends_when_the_broker_answers(log: Log) -> None:
    """The broker may start after the worker."""
    settings = nowhere()
    port = int(settings.bootstrap_servers.rpartition(":")[2])
    waiting = asyncio.create_task(wait_for_broker(settings, never))
    async with asyncio.timeout(20):
        while len(log.lines) < 2:
            await asyncio.sleep(0.005)
        broker = EmbeddedBroker(port)
        await asyncio.to_thread(broker.start)
        try:
            assert await waiting
        finally:
            broker.stop()


async def test_a_stop_ends_a_wait_between_two_attempts(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that waits for its broker ends at once."""
    monkeypatch.setattr(streams.kafka.connection, "FIRST_WAIT_S", 3600.0)
    async with asyncio.timeout(20):
        assert not await wait_for_broker(nowhere(), lambda: bool(log.lines))


async def test_each_failed_attempt_is_one_log_line_with_address_reason_and_next_attempt(
    log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    """The waits grow, and aiokafka's own lines are suppressed during an attempt only."""
    settings = nowhere()
    assert not await wait_for_broker(settings, lambda: len(log.lines) >= 4)
    assert [line["next_try_s"] for line in log.lines] == [0.01, 0.02, 0.04, 0.04]
    assert all(line["bootstrap_servers"] == settings.bootstrap_servers for line in log.lines)
    assert all("connect" in line["reason"].lower() for line in log.lines)
    assert "hint" not in log.lines[0]
    assert caplog.records == []
    logging.getLogger("aiokafka.consumer").warning("not suppressed")
    assert caplog.messages == ["not suppressed"]


async def test_the_log_line_suggests_the_embedded_broker_when_none_is_configured(
    log: Log, no_environment: None
) -> None:
    """This is the likely mistake at a first start."""
    settings = load_settings(kafka_port=free_port())
    await wait_for_broker(settings, lambda: bool(log.lines))
    assert "facestream up" in log.lines[0]["hint"]


async def test_waiting_ends_at_the_deadline(log: Log) -> None:
    """Commands have one; a worker waits without limit."""
    async with asyncio.timeout(20):
        assert not await wait_for_broker(nowhere(), never, deadline_s=0.1)


async def test_a_stopping_worker_does_not_wait(log: Log) -> None:
    """It makes no attempt."""
    assert not await wait_for_broker(nowhere(), lambda: True)
    assert log.lines == []

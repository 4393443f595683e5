"""Reaching Kafka: addresses for every client, and patience at start."""

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
    """Writes down warnings."""

    lines: list[dict[str, Any]] = field(default_factory=list)

    def warning(self, event: str, **fields: Any) -> None:
        """As structlog's."""
        self.lines.append({"event": event, **fields})


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    """What is said while waiting; and the waits are short."""
    written = Log()
    monkeypatch.setattr(streams.kafka.connection, "log", written)
    monkeypatch.setattr(streams.kafka.connection, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(streams.kafka.connection, "LONGEST_WAIT_S", 0.04)
    return written


def nowhere(**changes: Any) -> Settings:
    """Settings of a broker that is not there."""
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
async def test_faust_gets_every_broker(servers: str, urls: str) -> None:
    """In its own spelling, and it reads them as we mean them."""
    settings = load_settings(kafka_bootstrap_servers=servers)
    assert faust_broker_urls(settings) == urls
    assert ";".join(str(url) for url in create_app(settings).conf.broker) == urls


async def test_a_client_finds_a_broker_behind_one_that_is_away() -> None:
    """A list with blanks is one that aiokafka understands."""
    with EmbeddedBroker(free_port()) as broker:
        servers = f"127.0.0.1:{free_port()}, {broker.address}"
        settings = load_settings(kafka_bootstrap_servers=servers)
        admin = AIOKafkaAdminClient(**client_options(settings))
        await admin.start()
        assert await admin.list_topics() == []
        await admin.close()


async def test_waiting_ends_when_the_broker_answers(log: Log) -> None:
    """A broker that starts after the worker is nothing special."""
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


async def test_a_stop_is_noticed_in_the_middle_of_a_wait(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that waits for its broker ends at once, and not after the wait."""
    monkeypatch.setattr(streams.kafka.connection, "FIRST_WAIT_S", 3600.0)
    async with asyncio.timeout(20):
        assert not await wait_for_broker(nowhere(), lambda: bool(log.lines))


async def test_each_try_is_one_line_that_says_where_why_and_when_next(
    log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    """The waits grow; aiokafka's own lines are held back, for as long as the try lasts."""
    settings = nowhere()
    assert not await wait_for_broker(settings, lambda: len(log.lines) >= 4)
    assert [line["next_try_s"] for line in log.lines] == [0.01, 0.02, 0.04, 0.04]
    assert all(line["bootstrap_servers"] == settings.bootstrap_servers for line in log.lines)
    assert all("connect" in line["reason"].lower() for line in log.lines)
    assert "hint" not in log.lines[0]
    assert caplog.records == []
    logging.getLogger("aiokafka.consumer").warning("heard again")
    assert caplog.messages == ["heard again"]


async def test_where_no_broker_is_named_the_embedded_one_is_hinted_at(
    log: Log, no_environment: None
) -> None:
    """The likely mistake of a first start."""
    settings = load_settings(kafka_port=free_port())
    await wait_for_broker(settings, lambda: bool(log.lines))
    assert "facestream up" in log.lines[0]["hint"]


async def test_waiting_has_an_end_where_one_is_asked_for(log: Log) -> None:
    """For commands; a worker waits for as long as it takes."""
    async with asyncio.timeout(20):
        assert not await wait_for_broker(nowhere(), never, deadline_s=0.1)


async def test_a_worker_that_stops_waits_no_longer(log: Log) -> None:
    """It does not even try."""
    assert not await wait_for_broker(nowhere(), lambda: True)
    assert log.lines == []

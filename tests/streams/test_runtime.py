"""The runtime: how the parts of a worker are connected."""

from __future__ import annotations

import pytest
from aiokafka.errors import KafkaConnectionError

import streams.engine.publishing
from streams.config.settings import load_settings
from streams.messages import Incoming, Outgoing
from streams.runtime import Runtime
from tests.fakes import FakeEngine, FakeLog
from tests.metrics_page import series_of


@pytest.fixture
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow at once."""
    monkeypatch.setattr(streams.engine.publishing, "FIRST_WAIT_S", 0.0)


async def handle(_: Incoming) -> None:
    """Do nothing."""


async def test_a_publish_retry_counts_as_progress_of_every_window(no_waits: None) -> None:
    """A broker that is away is not a stall of the worker."""
    engine = FakeEngine(acks=[KafkaConnectionError("away")])
    runtime = Runtime(engine, load_settings())
    window = runtime.window("events", handle, concurrency=1)
    window.state.last_progress = 0
    await runtime.publisher.publish([Outgoing("scored-face", None, b"value", [])])
    assert window.state.last_progress > 0
    series = series_of(runtime.metrics.registry.collect())
    assert series["facestream_retries_total", "publish"] == 1


async def test_the_start_logs_the_settings_without_secrets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An open web port without a token is warned about."""
    log = FakeLog()
    monkeypatch.setattr(streams.runtime, "log", log)
    settings = load_settings(web_host="0.0.0.0", qdrant_api_key="qdrant-secret")
    Runtime(FakeEngine(), settings).announce()
    assert log.lines[0]["event"] == "starting"
    assert any("API_TOKEN" in line["event"] for line in log.lines)
    assert "qdrant-secret" not in str(log.lines)

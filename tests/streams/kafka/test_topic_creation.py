"""Creation and checks of topics at the start of a worker."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    IncompatibleBrokerVersion,
    KafkaConnectionError,
    KafkaError,
    TopicAuthorizationFailedError,
)

import streams.kafka.topic_creation
import streams.kafka.topic_limits
from streams.config.settings import load_settings
from streams.errors import StartupError
from streams.kafka.topic_creation import (
    TopicState,
    ensure_topics,
    needed_topics,
    too_small,
    wait_for_topics,
)
from streams.kafka.topic_limits import limits_in
from streams.local.embedded_broker import EmbeddedBroker, free_port
from tests.fakes import FakeLog


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> FakeLog:
    """Record the log of both modules."""
    written = FakeLog()
    for module in (streams.kafka.topic_creation, streams.kafka.topic_limits):
        monkeypatch.setattr(module, "log", written)
    return written


async def test_a_lost_connection_at_the_start_is_retried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only a permanent error ends a worker."""
    failures: list[KafkaError | OSError] = [KafkaConnectionError("closed"), OSError("reset")]
    real = AIOKafkaAdminClient.list_topics

    async def list_topics(self: AIOKafkaAdminClient) -> Any:
        if failures:
            raise failures.pop()
        return await real(self)

    monkeypatch.setattr(AIOKafkaAdminClient, "list_topics", list_topics)
    with EmbeddedBroker(free_port()) as broker:
        settings = load_settings(kafka_bootstrap_servers=broker.address)
        async with asyncio.timeout(30):
            assert await wait_for_topics(settings, lambda: False)
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.address)
        await admin.start()
        assert set(await admin.list_topics()) == set(needed_topics(settings))
        await admin.close()
        failures.append(TopicAuthorizationFailedError("no"))
        with pytest.raises(StartupError, match="cannot prepare the topics"):
            await wait_for_topics(settings, lambda: False)
        assert not await wait_for_topics(settings, lambda: True)


async def create_with(broker: EmbeddedBroker, topic: str, configs: dict[str, str]) -> None:
    """Create a topic without the configuration of facestream."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.address)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1, topic_configs=configs)])
    await admin.close()


async def test_a_topic_with_a_low_limit_causes_a_warning(log: FakeLog) -> None:
    """It is not changed. A dead letter that does not fit would lose the bytes of its event."""
    with EmbeddedBroker(free_port()) as broker:
        settings = load_settings(kafka_bootstrap_servers=broker.address)
        await create_with(broker, "simulated-fallback", {"max.message.bytes": "1048588"})
        await create_with(broker, "scored-face", {})
        assert await wait_for_topics(settings, lambda: False)
        [warning] = [line for line in log.lines if line["level"] == "warning"]
        assert ("simulated-fallback", 1048588, 2 * 8 * 1024 * 1024 + 64 * 1024) == (
            warning["topic"],
            warning["max_message_bytes"],
            warning["needed"],
        )
        states = {state.name: state.max_message_bytes for state in await ensure_topics(settings)}
    assert states == {
        "image-submitted": 8 * 1024 * 1024,
        "scored-face": None,  # the embedded broker reports explicit settings, but no defaults
        "simulated-fallback": 1048588,
    }


@pytest.mark.parametrize(
    "failure",
    [
        KafkaConnectionError("closed"),
        IncompatibleBrokerVersion("no"),
        OSError("reset"),
        TimeoutError(),
    ],
)
async def test_a_broker_that_does_not_report_limits_does_not_stop_the_start(
    monkeypatch: pytest.MonkeyPatch, log: FakeLog, failure: Exception
) -> None:
    """It may not implement the request."""

    async def describe_configs(*_: object) -> Any:
        raise failure

    monkeypatch.setattr(AIOKafkaAdminClient, "describe_configs", describe_configs)
    with EmbeddedBroker(free_port()) as broker:
        settings = load_settings(kafka_bootstrap_servers=broker.address)
        assert await wait_for_topics(settings, lambda: False)
    assert ["info", "info"] == [line["level"] for line in log.lines], "created; not reported"


def test_limits_are_read_from_the_response(log: FakeLog) -> None:
    """An ACL forbids one topic (29), one has no value, and one has a limit."""
    entry: tuple[Any, ...] = ("max.message.bytes", "1048588", False, 5, False, [])
    resources = [
        (29, None, 2, "kept-back", []),
        (0, None, 2, "empty", [("max.message.bytes", None, False, 5, False, [])]),
        (0, "No error.", 2, "known", [("retention.ms", "-1", False, 5, False, []), entry]),
    ]
    assert {"known": 1048588} == dict(limits_in(resources))
    assert ["TopicAuthorizationFailedError"] == [line["reason"] for line in log.lines]


@pytest.mark.parametrize(
    ("limit", "small"), [(None, False), (16842751, True), (16842752, False), (2**31 - 1, False)]
)
def test_which_limits_are_too_small(limit: int | None, *, small: bool) -> None:
    """The minimum is the limit of a topic that facestream creates; an unknown limit is accepted."""
    state = TopicState("simulated-fallback", 1, 1, limit)
    assert ([state] if small else []) == too_small([state], load_settings())

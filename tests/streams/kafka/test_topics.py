"""Topics at the start of a worker."""

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

import streams.kafka.topic_limits
import streams.kafka.topics
from streams.config.settings import load_settings
from streams.errors import StartupError
from streams.kafka.topic_limits import limits_in
from streams.kafka.topics import (
    TopicState,
    ensure_topics,
    needed_topics,
    too_small,
    wait_for_topics,
)
from streams.local.embedded_broker import EmbeddedBroker, free_port
from tests.fakes import FakeLog


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> FakeLog:
    """What is written while topics are looked at."""
    written = FakeLog()
    for module in (streams.kafka.topics, streams.kafka.topic_limits):
        monkeypatch.setattr(module, "log", written)
    return written


async def test_a_broker_that_goes_away_at_the_start_is_waited_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only what does not pass by itself ends a worker."""
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


async def make_by_hand(broker: EmbeddedBroker, topic: str, configs: dict[str, str]) -> None:
    """As somebody else would, without our configuration."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.address)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1, topic_configs=configs)])
    await admin.close()


async def test_a_topic_that_takes_too_little_is_warned_of_and_left_as_it_is(log: FakeLog) -> None:
    """Dead letters that do not fit would lose their bytes once the source's retention ends."""
    with EmbeddedBroker(free_port()) as broker:
        settings = load_settings(kafka_bootstrap_servers=broker.address)
        await make_by_hand(broker, "simulated-fallback", {"max.message.bytes": "1048588"})
        await make_by_hand(broker, "scored-face", {})
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
        "scored-face": None,  # the embedded broker tells what was set, and knows no default
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
async def test_a_broker_that_does_not_tell_stops_no_start(
    monkeypatch: pytest.MonkeyPatch, log: FakeLog, failure: Exception
) -> None:
    """It may not know the question."""

    async def describe_configs(*_: object) -> Any:
        raise failure

    monkeypatch.setattr(AIOKafkaAdminClient, "describe_configs", describe_configs)
    with EmbeddedBroker(free_port()) as broker:
        settings = load_settings(kafka_bootstrap_servers=broker.address)
        assert await wait_for_topics(settings, lambda: False)
    assert ["info", "info"] == [line["level"] for line in log.lines], "created; not told"


def test_limits_are_read_from_what_the_broker_says(log: FakeLog) -> None:
    """One topic refused by an ACL (29), one without a value, one that is known."""
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
    """Below what our own topic would have; what nobody tells is not guessed at."""
    state = TopicState("simulated-fallback", 1, 1, limit)
    assert ([state] if small else []) == too_small([state], load_settings())

"""Topics at the start of a worker."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, KafkaError, TopicAuthorizationFailedError

from streams.embedded_broker import EmbeddedBroker, free_port
from streams.errors import StartupError
from streams.settings import load_settings
from streams.topics import needed_topics, wait_for_topics


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

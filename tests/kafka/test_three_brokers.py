"""Three brokers, replication 3, min.insync.replicas 2: one may die at any time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.kafka.connection import client_options
from streams.kafka.topic_creation import TopicState, ensure_topics
from streams.kafka.topics import largest_message
from tests.integration.stack import Stack
from tests.kafka.conftest import stack_on
from tests.kafka.load import all_answered, reaches, stalls, steady_load
from tests.kafka.topic_admin import topic_config
from tools.kafka.apache_kafka import ApacheKafka


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """A cluster of three nodes."""
    with ApacheKafka(tmp_path_factory.mktemp("kafka"), nodes=3, heap_mb=256) as running:
        yield running


@pytest.fixture
def stack(kafka: ApacheKafka, tmp_path: Path) -> Iterator[Stack]:
    """A stack with topics that survive the loss of a broker."""
    with stack_on(kafka, tmp_path, KAFKA_REPLICATION="3", KAFKA_MIN_INSYNC_REPLICAS="2") as running:
        yield running


async def test_topics_are_created_with_the_configured_replicas(stack: Stack) -> None:
    """KAFKA_REPLICATION and KAFKA_MIN_INSYNC_REPLICAS set them."""
    states = await ensure_topics(stack.settings)
    assert states == [
        TopicState(name, 4, 3, largest_message(stack.settings, name)) for name in stack.topics.all()
    ]
    for name in stack.topics.all():
        assert (
            await topic_config(client_options(stack.settings), name, "min.insync.replicas") == "2"
        )


async def test_losing_a_broker_for_good_loses_no_event(kafka: ApacheKafka, stack: Stack) -> None:
    """Leaders, coordinators and controller move to the other brokers."""
    with stack.worker() as worker:
        async with steady_load(stack) as acknowledged:
            await reaches(acknowledged, 300)
            kafka.nodes[0].kill()
            await reaches(acknowledged, len(acknowledged) + 300)
        await all_answered(stack, acknowledged)
        assert worker.stop() == 0
    await asyncio.to_thread(kafka.start)


@pytest.mark.long
async def test_too_few_replicas_stop_publishing_and_lose_no_event(
    kafka: ApacheKafka, stack: Stack
) -> None:
    """With one broker of three publishing waits; with two it continues."""
    with stack.worker() as worker:
        async with steady_load(stack) as acknowledged:
            await reaches(acknowledged, 300)
            kafka.nodes[1].kill()
            kafka.nodes[2].kill()
            await stalls(acknowledged)
            kafka.nodes[1].launch()
            await reaches(acknowledged, len(acknowledged) + 300, deadline_s=90)
        await all_answered(stack, acknowledged)
        assert worker.poll() is None
        assert worker.stop() == 0

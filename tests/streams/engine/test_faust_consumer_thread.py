"""Behaviour of Faust's consumer thread on which at-least-once delivery relies.

When a test fails after an upgrade, read the module named in its docstring before changing the test.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.types import TP

from streams.app import create_app
from streams.config.settings import load_settings
from streams.local.embedded_broker import EmbeddedBroker

PARTITION = TP("image-submitted", 0)


async def test_the_consumer_fetches_with_the_configured_limits(broker: EmbeddedBroker) -> None:
    """committing.py: Faust's wait of 1.5 s would delay a single event by as much.

    Records of aborted transactions are left out.
    """
    created = create_app(
        load_settings(kafka_bootstrap_servers=broker.address, kafka_fetch_max_wait_ms=7)
    )
    thread = created.consumer._new_consumer_thread()
    consumer = thread._create_worker_consumer(created.transport)
    await consumer.start()
    try:
        assert consumer._fetcher._fetch_max_wait_ms == 7
        assert consumer._fetcher._fetch_max_bytes == 2**20
        assert consumer._fetcher._isolation_level == READ_COMMITTED
    finally:
        await consumer.stop()


async def test_look_again_wakes_a_waiting_poll(broker: EmbeddedBroker) -> None:
    """committing.py: records of a resumed partition have been fetched already."""
    created = create_app(load_settings(kafka_bootstrap_servers=broker.address))
    thread = created.consumer._new_consumer_thread()
    consumer = thread._consumer = thread._create_worker_consumer(created.transport)
    await consumer.start()
    await created.maybe_start_producer()
    polls: list[asyncio.Task[Any]] = []
    try:
        sent = await (await created.producer.send("woken", None, b"value", None, None, []))
        here, elsewhere = TopicPartition("woken", sent.partition), TopicPartition("other", 0)
        consumer.assign([here])
        fetcher = consumer._fetcher
        async with asyncio.timeout(20):
            while here not in fetcher._records:
                await asyncio.sleep(0.01)
        active = {elsewhere}
        polls.append(asyncio.create_task(fetcher.fetched_records(active, timeout=60)))
        await asyncio.sleep(0.05)
        active.add(here)
        await asyncio.sleep(0.05)
        assert not polls[0].done(), "once this fails, ``look_again()`` can be removed"
        thread.thread_loop = asyncio.get_running_loop()  # here the consumer runs in the test's loop
        await asyncio.to_thread(thread.look_again)
        async with asyncio.timeout(10):
            assert list(await polls[0]) == [here]
    finally:
        for poll in polls:
            poll.cancel()
        await consumer.stop()
        await created.producer.stop()


async def test_a_commit_without_assigned_partitions_does_not_crash(
    broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """committing.py: Faust's ``_commit`` crashes the worker."""
    created = create_app(load_settings(kafka_bootstrap_servers=broker.address))
    thread = created.consumer._new_consumer_thread()
    thread._consumer = thread._create_worker_consumer(created.transport)
    thread._consumer.assign([])
    crashes: list[BaseException] = []

    async def crash(reason: BaseException) -> None:
        crashes.append(reason)

    monkeypatch.setattr(thread, "crash", crash)
    assert await thread._commit({PARTITION: 5}) is False
    assert not crashes
    await AIOKafkaConsumerThread._commit(thread, {PARTITION: 5})
    found = [type(one) for one in crashes]
    assert found == [ValueError], "once this fails, the override can be removed"
    await thread._consumer.stop()

"""A broker that goes away in mid-stream and comes back with its state: nothing is lost."""

from __future__ import annotations

import asyncio

from tests.integration.stack import Stack
from tests.kafka.load import all_answered, reaches, steady_load
from tools.kafka.apache_kafka import ApacheKafka


async def test_every_event_is_answered_though_the_broker_restarts(
    kafka: ApacheKafka, stack: Stack
) -> None:
    """A controlled shutdown, and a start with the state kept; the same worker goes on."""
    with stack.worker() as worker:
        async with steady_load(stack) as acknowledged:
            await reaches(acknowledged, 300)
            await asyncio.to_thread(kafka.stop)
            await asyncio.to_thread(kafka.start)
            await reaches(acknowledged, len(acknowledged) + 200)
        await all_answered(stack, acknowledged)
        assert worker.poll() is None
        assert worker.stop() == 0


async def test_every_event_is_answered_though_the_broker_is_killed_twice(
    kafka: ApacheKafka, stack: Stack
) -> None:
    """SIGKILL: leases, the group's members and unflushed indexes are gone; the log is not."""
    with stack.worker() as worker, stack.worker() as other:
        async with steady_load(stack) as acknowledged:
            for _ in range(2):
                await reaches(acknowledged, len(acknowledged) + 300)
                kafka.nodes[0].kill()
                await asyncio.to_thread(kafka.start)
            await reaches(acknowledged, len(acknowledged) + 200)
        await all_answered(stack, acknowledged)
        assert worker.poll() is None
        assert other.poll() is None
        assert worker.stop() == other.stop() == 0


async def test_a_worker_and_the_broker_killed_together_lose_nothing(
    kafka: ApacheKafka, stack: Stack
) -> None:
    """What was answered and not committed is answered again; nothing is skipped."""
    async with steady_load(stack) as acknowledged:
        with stack.worker() as worker:
            await reaches(acknowledged, 300)
            kafka.nodes[0].kill()
            worker.kill()
        await asyncio.to_thread(kafka.start)
        with stack.worker():
            await reaches(acknowledged, len(acknowledged) + 200)
            await all_answered(stack, set(acknowledged))

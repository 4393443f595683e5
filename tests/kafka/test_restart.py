"""A broker that restarts with its state in mid-stream loses no event."""

from __future__ import annotations

import asyncio

from tests.integration.stack import Stack
from tests.kafka.load import all_answered, reaches, steady_load
from tools.kafka.apache_kafka import ApacheKafka


async def test_a_broker_restart_loses_no_event(kafka: ApacheKafka, stack: Stack) -> None:
    """After a clean shutdown and a start, the same worker continues."""
    with stack.worker() as worker:
        async with steady_load(stack) as acknowledged:
            await reaches(acknowledged, 300)
            await asyncio.to_thread(kafka.stop)
            await asyncio.to_thread(kafka.start)
            await reaches(acknowledged, len(acknowledged) + 200)
        await all_answered(stack, acknowledged)
        assert worker.poll() is None
        assert worker.stop() == 0


async def test_killing_the_broker_twice_loses_no_event(kafka: ApacheKafka, stack: Stack) -> None:
    """SIGKILL loses the group's members and unflushed indexes, but not the log."""
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


async def test_killing_worker_and_broker_together_loses_no_event(
    kafka: ApacheKafka, stack: Stack
) -> None:
    """Events that were answered but not committed are answered again."""
    async with steady_load(stack) as acknowledged:
        with stack.worker() as worker:
            await reaches(acknowledged, 300)
            kafka.nodes[0].kill()
            worker.kill()
        await asyncio.to_thread(kafka.start)
        with stack.worker():
            await reaches(acknowledged, len(acknowledged) + 200)
            await all_answered(stack, set(acknowledged))

"""A crashed worker gives up its partitions soon, even if its stop hangs."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from streams.engine.worker_app import AFTER_CRASH_S
from streams.process.exits import EXIT_STOP_TOOK_TOO_LONG
from tests.integration.stack import first_record, log_of, running_stack, wait_until

DRAIN_TIMEOUT_S = 600


async def test_a_crashed_worker_exits_long_before_the_stop_timeout(tmp_path: Path) -> None:
    """Its heartbeats would keep its partitions; the next worker answers the event."""
    with running_stack(tmp_path) as stack:
        with stack.worker(app="tests.crashing_app", DRAIN_TIMEOUT_S=str(DRAIN_TIMEOUT_S)) as worker:
            await stack.publish(b"not json", key=b"user")
            started = time.monotonic()
            await asyncio.to_thread(
                wait_until, lambda: worker.poll() is not None, "the crashed worker ends"
            )
            took = time.monotonic() - started
        assert worker.poll() == EXIT_STOP_TOOK_TOO_LONG
        log = log_of(worker)
        assert "a bug in publishing" in log
        assert "after a crash" in log
        assert "DRAIN_TIMEOUT_S plus" not in log
        assert AFTER_CRASH_S <= took < DRAIN_TIMEOUT_S / 10
        async with stack.reader(stack.topics.simulated_fallback) as reader:
            with stack.worker(wait=False):
                letter = await first_record(reader, lambda record: record.key == b"user")
        assert letter.value == b"not json"

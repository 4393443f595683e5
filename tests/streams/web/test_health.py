"""Readiness does not wait for an index that hangs."""

from __future__ import annotations

import asyncio

from streams.web.health import IndexPing


async def test_an_index_that_hangs_counts_as_away_and_gets_one_ping() -> None:
    """Probes come every few seconds; a ping may take longer than their time-out."""
    pings = 0
    released = asyncio.Event()

    async def ping() -> bool:
        nonlocal pings
        pings += 1
        await released.wait()
        return True

    index = IndexPing(ping, timeout_s=0.01)
    assert [False, False, False] == [await index.answers() for _ in range(3)]
    assert 1 == pings
    released.set()
    assert await index.answers()
    assert await index.answers()
    assert 2 == pings, "each probe sends a new ping when the last one is done"


async def test_a_probe_may_come_while_the_last_one_is_about_to_return() -> None:
    """Each gets the answer of its own ping."""
    probes: list[asyncio.Task[bool]] = []

    async def ping() -> bool:
        if len(probes) == 1:
            probes.append(asyncio.create_task(index.answers()))
        else:
            await asyncio.sleep(0.01)
        return True

    index = IndexPing(ping)
    probes.append(asyncio.create_task(index.answers()))
    assert await probes[0]
    assert await probes[1]

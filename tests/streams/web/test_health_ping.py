"""Readiness does not wait for an index that hangs."""

from __future__ import annotations

import asyncio

import pytest

from streams.web import health


async def test_an_index_that_hangs_is_away_and_is_asked_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Probes come every few seconds, and a request to the index may take longer than they wait."""
    asked: list[None] = []
    released = asyncio.Event()

    async def hanging() -> bool:
        asked.append(None)
        await released.wait()
        return True

    monkeypatch.setattr(health, "_index_answers", hanging)
    monkeypatch.setattr(health, "INDEX_PATIENCE_S", 0.01)
    ping = health._IndexPing()
    assert [await ping.answers() for _ in range(3)] == [False, False, False]
    assert len(asked) == 1
    released.set()
    monkeypatch.setattr(health, "INDEX_PATIENCE_S", 10.0)
    assert await ping.answers()
    assert await ping.answers()
    assert len(asked) == 2, "each probe asks anew when nothing hangs"


async def test_two_probes_do_not_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    """One comes when the other's answer is there, and it has not been told yet."""
    probes: list[asyncio.Task[bool]] = []
    ping = health._IndexPing()

    async def answers() -> bool:
        if len(probes) == 1:
            probes.append(asyncio.create_task(ping.answers()))
        else:
            await asyncio.sleep(0.01)
        return True

    monkeypatch.setattr(health, "_index_answers", answers)
    probes.append(asyncio.create_task(ping.answers()))
    assert await probes[0]
    assert await probes[1]

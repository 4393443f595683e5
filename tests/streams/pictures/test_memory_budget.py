"""The memory budget: the bytes of fetched pictures are bounded, and every wait ends."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest

from models.errors import NoFaceFound
from streams.errors import Abandoned
from streams.pictures.memory_budget import PictureBudget
from tests.fakes import incoming
from tests.streams.scoring.event_scoring import answers, scorer

MIB = 1024 * 1024
LARGEST = 400_000
#: The size of the pictures that arrive.
SIZE = 100_000
EVENTS = 30


@dataclass
class Held:
    """A store and a pool that count picture bytes; a running fetch counts as ``LARGEST``."""

    may_score: asyncio.Event = field(default_factory=asyncio.Event)
    bytes_now: int = 0
    most_bytes: int = 0
    fetching: int = 0
    most_fetching: int = 0
    scored: int = 0

    async def fetch(self, _: str) -> bytes:
        self.fetching += 1
        self.most_fetching = max(self.most_fetching, self.fetching)
        self._hold(LARGEST)
        await asyncio.sleep(0)
        self._hold(SIZE - LARGEST)
        self.fetching -= 1
        return bytes(SIZE)

    async def score(self, image: bytes, **_: Any) -> Any:
        await self.may_score.wait()
        self._hold(-len(image))
        self.scored += 1
        raise NoFaceFound(1, 1)

    def _hold(self, change: int) -> None:
        self.bytes_now += change
        self.most_bytes = max(self.most_bytes, self.bytes_now)


async def until_quiet() -> None:
    """Run every task that can run."""
    for _ in range(200):
        await asyncio.sleep(0)


async def test_fetched_pictures_stay_within_max_in_flight_mb() -> None:
    """Every event is scored in the end."""
    held = Held()
    judge = scorer(held, held, max_in_flight_mb=1, max_image_bytes=LARGEST)
    value = {"event_id": str(uuid4()), "user_id": "u", "image_uri": "s3://pictures/1.jpg"}
    message = incoming(json.dumps(value).encode())
    working = [asyncio.create_task(answers(judge, message)) for _ in range(EVENTS)]
    await until_quiet()
    # Seven small pictures leave too little room for one of the largest size.
    assert held.bytes_now == 7 * SIZE
    held.may_score.set()
    ended = await asyncio.wait_for(asyncio.gather(*working), 20)
    assert len(ended) == EVENTS == held.scored
    assert held.most_bytes <= MIB
    assert held.most_fetching == MIB // LARGEST


async def test_pictures_that_may_exceed_the_budget_are_fetched_one_at_a_time() -> None:
    """A small ``MAX_IN_FLIGHT_MB`` slows fetching down and does not stop it."""
    budget = PictureBudget(total=10, largest=100, is_leaving=lambda: False)
    inside = most = 0

    async def one() -> None:
        nonlocal inside, most
        async with budget.reserved():
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.wait_for(asyncio.gather(*(one() for _ in range(5))), 10)
    assert most == 1


@pytest.mark.parametrize("when", ["while it waits", "when bytes are free", "after it got them"])
async def test_a_cancelled_wait_leaks_no_bytes(when: str) -> None:
    """A rebalance cancels handlers at any moment; their bytes are free afterwards."""
    budget = PictureBudget(total=10, largest=10, is_leaving=lambda: False)

    async def hold() -> None:
        async with budget.reserved():
            await asyncio.Event().wait()

    first, second = asyncio.create_task(hold()), asyncio.create_task(hold())
    await until_quiet()
    if when == "while it waits":
        second.cancel()
        await until_quiet()
        first.cancel()
    elif when == "when bytes are free":
        first.cancel()
        second.cancel()
    else:
        first.cancel()
        while first.done() is False:
            await asyncio.sleep(0)
        second.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    async with asyncio.timeout(5), budget.reserved() as reservation:
        assert reservation.size == 10


async def test_waits_are_served_in_order_of_arrival() -> None:
    """Free bytes go to the longest wait."""
    budget = PictureBudget(total=10, largest=10, is_leaving=lambda: False)
    order: list[int] = []

    async def one(number: int) -> None:
        async with budget.reserved() as reservation:
            order.append(number)
            reservation.shrink(4)
            await asyncio.sleep(0)

    await asyncio.wait_for(asyncio.gather(*(one(number) for number in range(6))), 10)
    assert order == list(range(6))


async def test_waits_are_abandoned_when_the_worker_leaves() -> None:
    """A handler that waits would prolong the drain; one with a reservation finishes."""
    leaving: list[None] = []
    budget = PictureBudget(total=10, largest=10, is_leaving=lambda: bool(leaving))
    may_end = asyncio.Event()

    async def one() -> None:
        async with budget.reserved():
            await may_end.wait()

    working = [asyncio.create_task(one()) for _ in range(3)]
    await until_quiet()
    leaving.append(None)
    done, running = await asyncio.wait(working, timeout=10, return_when=asyncio.FIRST_EXCEPTION)
    while len(done) < 2:
        more, running = await asyncio.wait(running, timeout=10, return_when=asyncio.FIRST_COMPLETED)
        assert more
        done |= more
    assert all(isinstance(task.exception(), Abandoned) for task in done)
    assert running == {working[0]}
    leaving.clear()
    may_end.set()
    await working[0]
    async with asyncio.timeout(5), budget.reserved() as reservation:
        assert reservation.size == 10

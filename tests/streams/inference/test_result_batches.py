"""Bursts: results of threads that are in no hurry come together, and all of them come."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial

from streams.inference.result_batches import LATE_S, MOST_TOGETHER, Bursts


async def in_thread(work: Callable[[], None]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    await asyncio.to_thread(thread.join)
    await asyncio.sleep(0)


async def test_one_that_does_not_wait_takes_the_others_along() -> None:
    """In their order."""
    came: list[int] = []
    bursts = Bursts(asyncio.get_running_loop())
    for number in (1, 2):
        await in_thread(partial(bursts.bring, partial(came.append, number), together=9))
    assert came == []
    await in_thread(partial(bursts.bring, partial(came.append, 3), together=0))
    assert came == [1, 2, 3]


async def test_enough_of_them_are_not_kept_waiting() -> None:
    """A burst has its limit."""
    came: list[int] = []
    bursts = Bursts(asyncio.get_running_loop())
    for number in range(MOST_TOGETHER - 1):
        await in_thread(partial(bursts.bring, partial(came.append, number), together=99))
    assert came == []
    await in_thread(partial(bursts.bring, partial(came.append, MOST_TOGETHER), together=99))
    assert len(came) == MOST_TOGETHER


async def test_as_many_as_are_asked_for_come_together() -> None:
    """The latest word counts."""
    came: list[int] = []
    bursts = Bursts(asyncio.get_running_loop())
    await in_thread(partial(bursts.bring, partial(came.append, 1), together=3))
    assert came == []
    await in_thread(partial(bursts.bring, partial(came.append, 2), together=2))
    assert came == [1, 2]


async def test_the_last_ones_are_there_for_who_asks() -> None:
    """Once each."""
    came: list[int] = []
    bursts = Bursts(asyncio.get_running_loop())
    await in_thread(partial(bursts.bring, partial(came.append, 1), together=9))
    bursts.deliver_late()
    assert came == []
    await asyncio.sleep(LATE_S)
    bursts.deliver_late()
    bursts.deliver_late()
    assert came == [1]


async def test_one_that_fails_does_not_keep_the_others() -> None:
    """Each is somebody's answer."""
    came: list[int] = []
    bursts = Bursts(asyncio.get_running_loop())
    bursts.bring(lambda: came.append(1 // 0), together=9)
    bursts.bring(lambda: came.append(2), together=9)
    bursts.deliver()
    assert came == [2]


async def test_once_closed_nothing_waits_for_others() -> None:
    """Nobody would come for them."""
    came: list[int] = []
    bursts = Bursts(asyncio.get_running_loop())
    bursts.bring(lambda: came.append(1), together=9)
    bursts.close()
    assert came == [1]
    bursts.bring(lambda: came.append(2), together=9)
    await asyncio.sleep(0)
    assert came == [1, 2]


def test_a_result_without_a_loop_is_no_error() -> None:
    """The worker has stopped; nobody waits any more."""
    loop = asyncio.new_event_loop()
    loop.close()
    Bursts(loop).bring(lambda: None, together=0)

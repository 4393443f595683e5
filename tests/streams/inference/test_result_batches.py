"""Result batches: results are delivered together, and every result is delivered."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial

from streams.inference.result_batches import MAX_BATCH, MAX_WAIT_S, ResultBatches


async def in_thread(work: Callable[[], None]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    await asyncio.to_thread(thread.join)
    await asyncio.sleep(0)


async def test_a_result_that_does_not_wait_delivers_the_others_too() -> None:
    """In their order."""
    came: list[int] = []
    batches = ResultBatches(asyncio.get_running_loop())
    for number in (1, 2):
        await in_thread(partial(batches.add, partial(came.append, number), batch_size=9))
    assert came == []
    await in_thread(partial(batches.add, partial(came.append, 3), batch_size=0))
    assert came == [1, 2, 3]


async def test_a_full_batch_is_delivered() -> None:
    """A batch has a limit."""
    came: list[int] = []
    batches = ResultBatches(asyncio.get_running_loop())
    for number in range(MAX_BATCH - 1):
        await in_thread(partial(batches.add, partial(came.append, number), batch_size=99))
    assert came == []
    await in_thread(partial(batches.add, partial(came.append, MAX_BATCH), batch_size=99))
    assert len(came) == MAX_BATCH


async def test_the_last_batch_size_decides() -> None:
    """The queue may have become shorter meanwhile."""
    came: list[int] = []
    batches = ResultBatches(asyncio.get_running_loop())
    await in_thread(partial(batches.add, partial(came.append, 1), batch_size=3))
    assert came == []
    await in_thread(partial(batches.add, partial(came.append, 2), batch_size=2))
    assert came == [1, 2]


async def test_late_results_are_delivered_once() -> None:
    """After the longest wait, and not before."""
    came: list[int] = []
    batches = ResultBatches(asyncio.get_running_loop())
    await in_thread(partial(batches.add, partial(came.append, 1), batch_size=9))
    batches.deliver_late()
    assert came == []
    await asyncio.sleep(MAX_WAIT_S)
    batches.deliver_late()
    batches.deliver_late()
    assert came == [1]


async def test_a_callback_that_fails_does_not_stop_the_others() -> None:
    """Each of them ends another attempt."""
    came: list[int] = []
    batches = ResultBatches(asyncio.get_running_loop())
    batches.add(lambda: came.append(1 // 0), batch_size=9)
    batches.add(lambda: came.append(2), batch_size=9)
    batches.deliver()
    assert came == [2]


async def test_after_close_no_result_waits() -> None:
    """The watchdog that delivers late results has ended."""
    came: list[int] = []
    batches = ResultBatches(asyncio.get_running_loop())
    batches.add(lambda: came.append(1), batch_size=9)
    batches.close()
    assert came == [1]
    batches.add(lambda: came.append(2), batch_size=9)
    await asyncio.sleep(0)
    assert came == [1, 2]


def test_a_result_without_a_loop_is_no_error() -> None:
    """The worker has stopped, and its loop is closed."""
    loop = asyncio.new_event_loop()
    loop.close()
    ResultBatches(loop).add(lambda: None, batch_size=0)

"""Result batches: results are delivered together, and every result is delivered."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial

from streams.inference.result_batches import MAX_BATCH, MAX_WAIT_S, ResultBatches


async def in_thread(work: Callable[[], None]) -> None:
    """Run ``work`` in a thread, and then whatever it scheduled on the loop."""
    thread = threading.Thread(target=work)
    thread.start()
    await asyncio.to_thread(thread.join)
    await asyncio.sleep(0)


async def test_a_result_that_cannot_wait_delivers_the_waiting_ones_too() -> None:
    """Results keep their order."""
    delivered: list[int] = []
    batches = ResultBatches(asyncio.get_running_loop())
    for number in (1, 2):
        await in_thread(partial(batches.add, partial(delivered.append, number), batch_size=9))
    assert delivered == []
    await in_thread(partial(batches.add, partial(delivered.append, 3), batch_size=0))
    assert delivered == [1, 2, 3]


async def test_a_full_batch_is_delivered() -> None:
    """``MAX_BATCH`` bounds a batch, whatever size was asked for."""
    delivered: list[int] = []
    batches = ResultBatches(asyncio.get_running_loop())
    for number in range(MAX_BATCH - 1):
        await in_thread(partial(batches.add, partial(delivered.append, number), batch_size=99))
    assert delivered == []
    await in_thread(partial(batches.add, partial(delivered.append, MAX_BATCH), batch_size=99))
    assert len(delivered) == MAX_BATCH


async def test_the_last_batch_size_decides() -> None:
    """The queue may have become shorter in the meantime."""
    delivered: list[int] = []
    batches = ResultBatches(asyncio.get_running_loop())
    await in_thread(partial(batches.add, partial(delivered.append, 1), batch_size=3))
    assert delivered == []
    await in_thread(partial(batches.add, partial(delivered.append, 2), batch_size=2))
    assert delivered == [1, 2]


async def test_late_results_are_delivered_once() -> None:
    """They wait for ``MAX_WAIT_S`` first."""
    delivered: list[int] = []
    batches = ResultBatches(asyncio.get_running_loop())
    await in_thread(partial(batches.add, partial(delivered.append, 1), batch_size=9))
    batches.deliver_late()
    assert delivered == []
    await asyncio.sleep(MAX_WAIT_S)
    batches.deliver_late()
    batches.deliver_late()
    assert delivered == [1]


async def test_a_callback_that_fails_does_not_stop_the_others() -> None:
    """Each callback ends a different attempt."""
    delivered: list[int] = []
    batches = ResultBatches(asyncio.get_running_loop())
    batches.add(lambda: delivered.append(1 // 0), batch_size=9)
    batches.add(lambda: delivered.append(2), batch_size=9)
    batches.deliver()
    assert delivered == [2]


async def test_after_close_no_result_waits() -> None:
    """The watchdog that delivers late results has ended."""
    delivered: list[int] = []
    batches = ResultBatches(asyncio.get_running_loop())
    batches.add(lambda: delivered.append(1), batch_size=9)
    batches.close()
    assert delivered == [1]
    batches.add(lambda: delivered.append(2), batch_size=9)
    await asyncio.sleep(0)
    assert delivered == [1, 2]


def test_a_result_after_the_loop_has_closed_is_ignored() -> None:
    """A thread may finish after the worker has stopped."""
    loop = asyncio.new_event_loop()
    loop.close()
    ResultBatches(loop).add(lambda: None, batch_size=0)

"""The inference pool: deadlines, waits for a thread, cancellation and stop."""

from __future__ import annotations

import asyncio
import gc
import sys

import pytest

import streams.inference.pool
from models.errors import InferenceTerminated
from streams.errors import Busy, InferenceTimeout
from streams.inference.circuit import Circuit
from streams.inference.pool import InferencePool
from tests.streams.inference.watched_pipeline import ENDLESS, WatchedPipeline, pool_of, score, until
from tools.pictures import crowd_bytes, portrait_bytes


async def test_a_late_inference_is_terminated_and_frees_its_thread(
    watched: WatchedPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends inside onnxruntime; the same thread scores the next picture."""
    monkeypatch.setattr(streams.inference.pool, "WATCH_INTERVAL_S", 0.005)
    async with pool_of(watched, timeout_s=0.03) as pool:
        with pytest.raises(InferenceTimeout, match="longer than 30 ms"):
            await score(pool, crowd_bytes(), max_faces=64)
        assert pool.pending == 0
        assert watched.ended == ["InferenceTerminated"]
        pool._timeout_s = 60.0  # the next score must not depend on the machine's speed
        await score(pool, portrait_bytes())
    assert watched.ended == ["InferenceTerminated", "scored"]


async def test_the_deadline_excludes_the_wait_for_a_thread(watched: WatchedPipeline) -> None:
    """The clock of an attempt starts when a thread takes it from the queue."""
    async with pool_of(watched, timeout_s=1.0) as pool:
        first = asyncio.create_task(score(pool, ENDLESS))
        await until(watched.begun.is_set)
        second = asyncio.create_task(score(pool, portrait_bytes()))
        with pytest.raises(InferenceTimeout):
            await first
        assert not second.done(), "its wait is as long as the deadline"
        assert (await second).faces


async def test_max_wait_ends_a_wait_for_a_thread_and_no_running_attempt(
    watched: WatchedPipeline,
) -> None:
    """A request that waits too long is refused; a running attempt ends at its own deadline."""
    circuit = Circuit(threshold=0.5, window=2, minimum=1)
    pool = InferencePool(lambda: watched, threads=1, timeout_s=1.0, circuit=circuit)
    await pool.start()
    try:
        hanging = asyncio.create_task(
            pool.score(ENDLESS, min_confidence=0.5, max_faces=1, max_wait_s=0.5)
        )
        await until(watched.begun.is_set)
        with pytest.raises(Busy, match="no result in 100 ms"):
            await pool.detect(portrait_bytes(), min_confidence=0.5, max_wait_s=0.1)
        assert circuit.is_closed, "a long queue is not a failure of the models"
        with pytest.raises(InferenceTimeout):
            await hanging
        assert not circuit.is_closed
    finally:
        await pool.stop()


async def test_a_request_does_not_wait_for_the_whole_backlog(watched: WatchedPipeline) -> None:
    """Requests and events take turns."""
    async with pool_of(watched) as pool:
        first = asyncio.create_task(score(pool, ENDLESS))
        await until(watched.begun.is_set)
        backlog = [asyncio.create_task(score(pool, portrait_bytes())) for _ in range(5)]
        await until(lambda: pool.waiting == 5)
        request = asyncio.create_task(
            pool.score(portrait_bytes(), min_confidence=0.5, max_faces=1, max_wait_s=60.0)
        )
        await until(lambda: pool.waiting == 6)
        first.cancel()
        await request
        assert pool.waiting >= 3, "these were queued before the request"
        assert all(one.faces for one in await asyncio.gather(*backlog))


async def test_a_stopped_pool_refuses_pictures(watched: WatchedPipeline) -> None:
    """Another worker scores the event."""
    async with pool_of(watched) as pool:
        pass
    with pytest.raises(InferenceTerminated):
        await score(pool, portrait_bytes())
    assert pool.waiting == 0


async def test_stop_cancels_running_and_waiting_attempts(watched: WatchedPipeline) -> None:
    """A stop does not wait for an inference."""
    async with pool_of(watched) as pool:
        running = asyncio.create_task(score(pool, ENDLESS))
        await until(watched.begun.is_set)
        waiting = asyncio.create_task(score(pool, portrait_bytes()))
        await until(lambda: pool.pending == 2)
    async with asyncio.timeout(10):
        results = await asyncio.gather(running, waiting, return_exceptions=True)
    assert [type(result) for result in results] == [InferenceTerminated, asyncio.CancelledError]
    assert watched.ended == []


async def test_cancelling_an_attempt_frees_its_thread(watched: WatchedPipeline) -> None:
    """The inference of a cancelled handler ends too."""
    async with pool_of(watched) as pool:
        endless = asyncio.create_task(score(pool, ENDLESS))
        await until(watched.begun.is_set)
        endless.cancel()
        assert (await score(pool, portrait_bytes())).faces


async def test_a_finished_request_frees_its_picture_at_once(watched: WatchedPipeline) -> None:
    """Neither the timer that limits its wait nor the watchdog may hold it."""
    picture = bytes(bytearray(portrait_bytes()))  # no other test holds this copy
    async with pool_of(watched, timeout_s=60.0) as pool:
        before = sys.getrefcount(picture)
        await pool.detect(picture, min_confidence=0.5, max_wait_s=60.0)
        async with asyncio.timeout(20):
            while sys.getrefcount(picture) > before:
                await asyncio.sleep(0.01)  # its thread returns a moment later
                gc.collect()  # Pillow's objects form cycles

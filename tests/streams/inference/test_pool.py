"""The inference pool, with the real models: scoring, deadlines, and threads that stay ours."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import streams.inference.pool
from models.errors import (
    ImageTooLarge,
    InferenceFailed,
    InferenceTerminated,
    LowConfidence,
    ModelsError,
    NoFaceFound,
    UnknownModel,
    UnreadableImage,
)
from models.pipeline import FacePipeline, ScoredImage
from models.session import Cancellation
from streams.config.settings import load_settings
from streams.errors import Busy, InferenceTimeout
from streams.inference.circuit import Circuit
from streams.inference.model_loading import load_models
from streams.inference.pool import InferencePool
from tools.pictures import encoded, png_declaring, portrait, portrait_bytes

WITHOUT_END = b"a picture that takes for ever"


@dataclass(frozen=True)
class WatchedPipeline(FacePipeline):
    """The real pipeline; says when a score begins, and how each one ended.

    ``WITHOUT_END`` in place of a picture keeps its thread until it is cancelled.
    """

    begun: threading.Event = field(default_factory=threading.Event)
    ended: list[str] = field(default_factory=list)

    def score(
        self,
        image: bytes,
        *,
        min_confidence: float,
        max_faces: int,
        cancellation: Cancellation | None = None,
    ) -> ScoredImage:
        self.begun.set()
        while image == WITHOUT_END:
            assert cancellation is not None
            cancellation.raise_if_cancelled()
            threading.Event().wait(0.005)
        try:
            scored = super().score(
                image,
                min_confidence=min_confidence,
                max_faces=max_faces,
                cancellation=cancellation,
            )
        except ModelsError as error:
            self.ended.append(type(error).__name__)
            raise
        self.ended.append("scored")
        return scored

    def warm_up(self) -> None:
        """It is warm already."""


@pytest.fixture
def watched(pipeline: FacePipeline) -> WatchedPipeline:
    return WatchedPipeline(pipeline.face_detector, pipeline.face_embedder, pipeline.limits)


@asynccontextmanager
async def pool_of(
    watched: FacePipeline, *, threads: int = 1, timeout_s: float = 60.0
) -> AsyncIterator[InferencePool]:
    pool = InferencePool(lambda: watched, threads=threads, timeout_s=timeout_s)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.stop()


async def score(pool: InferencePool, image: bytes, max_faces: int = 1) -> ScoredImage:
    return await pool.score(image, min_confidence=0.5, max_faces=max_faces)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)


@pytest.fixture(scope="module")
def crowd() -> bytes:
    """64 faces: about a second of real inference, nearly all of it inside onnxruntime."""
    face = portrait()
    face.thumbnail((200, 200))
    picture = Image.new("RGB", (8 * face.width, 8 * face.height))
    for place in range(64):
        picture.paste(face, (place % 8 * face.width, place // 8 * face.height))
    return encoded(picture, "JPEG")


async def test_a_picture_is_scored(watched: WatchedPipeline) -> None:
    """By the models the settings name."""
    async with pool_of(watched) as pool:
        scored = await score(pool, portrait_bytes())
        assert pool.pipeline.embedder.name == "sface"
    assert len(scored.faces) == 1
    assert scored.faces[0].detection_confidence > 0.8


async def test_pictures_are_scored_side_by_side(watched: WatchedPipeline) -> None:
    """A thread that is busy for ever does not hold back the other one."""
    async with pool_of(watched, threads=2) as pool:
        endless = asyncio.create_task(score(pool, WITHOUT_END))
        await until(watched.begun.is_set)
        await score(pool, portrait_bytes())
        assert pool.pending == 1
        endless.cancel()


async def test_a_late_inference_is_terminated_and_its_thread_is_free_again(
    watched: WatchedPipeline, crowd: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inside onnxruntime, long before it would have ended; the one thread scores the next."""
    monkeypatch.setattr(streams.inference.pool, "WATCH_INTERVAL_S", 0.005)
    async with pool_of(watched, timeout_s=0.03) as pool:
        with pytest.raises(InferenceTimeout, match="longer than 30 ms"):
            await score(pool, crowd, max_faces=64)
        assert pool.pending == 0
        assert watched.ended == ["InferenceTerminated"]
        pool._timeout_s = 60.0  # the next one is about the thread, not about this machine's speed
        await score(pool, portrait_bytes())
    assert watched.ended == ["InferenceTerminated", "scored"]


async def test_waiting_for_a_thread_does_not_count(watched: WatchedPipeline) -> None:
    """The clock of an attempt starts when a thread takes it up: a queue is no time-out."""
    async with pool_of(watched, timeout_s=1.0) as pool:
        first = asyncio.create_task(score(pool, WITHOUT_END))
        await until(watched.begun.is_set)
        second = asyncio.create_task(score(pool, portrait_bytes()))
        with pytest.raises(InferenceTimeout):
            await first
        assert not second.done(), "it has waited for as long as an attempt may take"
        assert (await second).faces


async def test_who_waits_in_vain_is_told_and_what_runs_is_not_cut_off(
    watched: WatchedPipeline,
) -> None:
    """A request gives up its place in the queue; the one that hangs counts against the models."""
    circuit = Circuit(threshold=0.5, window=2, minimum=1)
    pool = InferencePool(lambda: watched, threads=1, timeout_s=1.0, circuit=circuit)
    await pool.start()
    try:
        hangs = asyncio.create_task(
            pool.score(WITHOUT_END, min_confidence=0.5, max_faces=1, max_wait_s=0.5)
        )
        await until(watched.begun.is_set)
        with pytest.raises(Busy, match="no result in 100 ms"):
            await pool.detect(portrait_bytes(), min_confidence=0.5, max_wait_s=0.1)
        assert circuit.is_closed, "a queue says nothing about the models"
        with pytest.raises(InferenceTimeout):
            await hangs
        assert not circuit.is_closed
    finally:
        await pool.stop()


async def test_who_is_waited_for_is_not_behind_a_whole_backlog(watched: WatchedPipeline) -> None:
    """A request takes every other turn; events keep theirs."""
    async with pool_of(watched) as pool:
        first = asyncio.create_task(score(pool, WITHOUT_END))
        await until(watched.begun.is_set)
        backlog = [asyncio.create_task(score(pool, portrait_bytes())) for _ in range(5)]
        await until(lambda: pool.waiting == 5)
        request = asyncio.create_task(
            pool.score(portrait_bytes(), min_confidence=0.5, max_faces=1, max_wait_s=60.0)
        )
        await until(lambda: pool.waiting == 6)
        first.cancel()
        await request
        assert pool.waiting >= 3, "they were queued before it"
        assert all(one.faces for one in await asyncio.gather(*backlog))


@pytest.mark.parametrize(
    ("image", "min_confidence", "error"),
    [
        (b"not a picture", 0.5, UnreadableImage),
        (png_declaring(10_000, 5_000), 0.5, ImageTooLarge),
        (encoded(Image.new("RGB", (64, 64)), "PNG"), 0.5, NoFaceFound),
        (portrait_bytes(), 1.0, LowConfidence),
    ],
)
async def test_errors_of_the_models_come_through(
    watched: WatchedPipeline, image: bytes, min_confidence: float, error: type[ModelsError]
) -> None:
    """As they are, for the scorer to name the reason."""
    async with pool_of(watched) as pool:
        with pytest.raises(error):
            await pool.score(image, min_confidence=min_confidence, max_faces=1)


async def test_a_bug_that_a_picture_brings_out_is_a_failure_of_this_picture(
    watched: WatchedPipeline,
) -> None:
    """Else it would stop one worker after the other."""
    async with pool_of(watched) as pool:
        with pytest.raises(InferenceFailed, match="ValueError: max_faces"):
            await score(pool, portrait_bytes(), max_faces=0)


async def test_results_come_together_while_pictures_wait_for_a_thread(
    watched: WatchedPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event loop is woken once for all of them."""
    monkeypatch.setattr(streams.inference.pool, "WATCH_INTERVAL_S", 60.0)
    async with pool_of(watched) as pool:
        scoring = [asyncio.create_task(score(pool, portrait_bytes())) for _ in range(3)]
        endless = [asyncio.create_task(score(pool, WITHOUT_END)) for _ in range(4)]
        await until(lambda: watched.ended == ["scored"] * 3 and pool.waiting == 3)
        assert not any(one.done() for one in scoring), "they came one by one"
        assert pool._results is not None
        pool._results.deliver()
        assert [len(one.faces) for one in await asyncio.gather(*scoring)] == [1, 1, 1]
        for one in endless:
            one.cancel()


async def test_what_no_burst_has_taken_along_comes_all_the_same(watched: WatchedPipeline) -> None:
    """Though the next picture takes for ever."""
    async with pool_of(watched) as pool:
        scoring = asyncio.create_task(score(pool, portrait_bytes()))
        endless = [asyncio.create_task(score(pool, WITHOUT_END)) for _ in range(2)]
        assert (await scoring).faces
        assert pool.waiting == 1
        for one in endless:
            one.cancel()


@pytest.mark.parametrize("bug", [SystemExit("a bug"), KeyError("a bug"), GeneratorExit()])
async def test_whatever_a_picture_brings_out_is_told(
    watched: WatchedPipeline, monkeypatch: pytest.MonkeyPatch, bug: BaseException
) -> None:
    """Nobody waits for ever, and the thread goes on."""

    def raising(*_: object, **__: object) -> None:
        raise bug

    async with pool_of(watched) as pool:
        with monkeypatch.context() as broken:
            broken.setattr(WatchedPipeline, "score", raising)
            with pytest.raises(InferenceFailed, match="pipeline"):
                await score(pool, portrait_bytes())
        assert (await score(pool, portrait_bytes())).faces


async def test_a_failure_leaves_nothing_behind_for_the_garbage_collector(
    watched: WatchedPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures of failed attempts would fill the memory in a storm of time-outs."""
    kept: list[weakref.ref[threading.Event]] = []

    def failing(*_: object, **__: object) -> None:
        picture = threading.Event()
        kept.append(weakref.ref(picture))
        raise InferenceFailed("sface", "out of memory")

    monkeypatch.setattr(WatchedPipeline, "score", failing)
    gc.collect()
    gc.disable()
    try:
        async with pool_of(watched) as pool:
            for _ in range(3):
                with contextlib.suppress(InferenceFailed):
                    await score(pool, portrait_bytes())
            await asyncio.sleep(0)
            assert [one() for one in kept[:2]] == [None, None], "the last may still be in a frame"
    finally:
        gc.enable()


async def test_a_pool_that_has_stopped_takes_nothing_more(watched: WatchedPipeline) -> None:
    """The event is another worker's."""
    async with pool_of(watched) as pool:
        pass
    with pytest.raises(InferenceTerminated):
        await score(pool, portrait_bytes())
    assert pool.waiting == 0


async def test_stop_cancels_what_runs_and_what_waits(watched: WatchedPipeline) -> None:
    """A stop is not held up by an inference."""
    async with pool_of(watched) as pool:
        running = asyncio.create_task(score(pool, WITHOUT_END))
        await until(watched.begun.is_set)
        waiting = asyncio.create_task(score(pool, portrait_bytes()))
        await until(lambda: pool.pending == 2)
    async with asyncio.timeout(10):
        results = await asyncio.gather(running, waiting, return_exceptions=True)
    assert [type(result) for result in results] == [InferenceTerminated, asyncio.CancelledError]
    assert watched.ended == []


async def test_giving_up_an_attempt_frees_its_thread(watched: WatchedPipeline) -> None:
    """A handler that is cancelled takes its inference along."""
    async with pool_of(watched) as pool:
        endless = asyncio.create_task(score(pool, WITHOUT_END))
        await until(watched.begun.is_set)
        endless.cancel()
        assert (await score(pool, portrait_bytes())).faces


async def test_a_pool_is_ready_once_its_models_are_loaded(watched: WatchedPipeline) -> None:
    """Before that, asking for them is a bug."""
    pool = InferencePool(lambda: watched, threads=1, timeout_s=1.0)
    assert not pool.ready
    with pytest.raises(RuntimeError, match="has not started"):
        await score(pool, portrait_bytes())
    await pool.start()
    assert pool.ready
    await pool.stop()


async def test_models_that_cannot_be_loaded_are_told_at_start(tmp_path: Path) -> None:
    """The loader's error comes through the thread."""
    settings = load_settings(model_cache=tmp_path, face_detector="none-such")
    pool = InferencePool(lambda: load_models(settings), threads=1, timeout_s=1.0)
    with pytest.raises(UnknownModel, match="none-such"):
        await pool.start()
    assert not pool.ready
    await pool.stop()


def test_the_limits_of_the_settings_reach_the_models(tmp_path: Path) -> None:
    """A picture one byte over MAX_IMAGE_BYTES is refused."""
    size = len(portrait_bytes())
    settings = load_settings(model_cache=tmp_path, max_image_bytes=size - 1)
    with pytest.raises(ImageTooLarge, match="bytes"):
        load_models(settings).score(portrait_bytes(), min_confidence=0.5, max_faces=1)

"""The inference pool with the real models: scores, errors, and its start."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import weakref
from pathlib import Path

import pytest
from PIL import Image

import streams.inference.pool
from models.errors import (
    ImageTooLarge,
    InferenceFailed,
    LowConfidence,
    ModelsError,
    NoFaceFound,
    UnknownModel,
    UnreadableImage,
)
from streams.config.settings import load_settings
from streams.inference.model_loading import load_models
from streams.inference.pool import InferencePool
from tests.streams.inference.watched_pipeline import ENDLESS, WatchedPipeline, pool_of, score, until
from tools.pictures import encoded, png_declaring, portrait_bytes


async def test_a_picture_is_scored(watched: WatchedPipeline) -> None:
    """The pool uses the models that its loader returns."""
    async with pool_of(watched) as pool:
        scored = await score(pool, portrait_bytes())
        assert pool.pipeline.embedder.name == "sface"
    assert len(scored.faces) == 1
    assert scored.faces[0].detection_confidence > 0.8


async def test_pictures_are_scored_in_parallel(watched: WatchedPipeline) -> None:
    """A thread that never finishes does not block the other one."""
    async with pool_of(watched, threads=2) as pool:
        endless = asyncio.create_task(score(pool, ENDLESS))
        await until(watched.begun.is_set)
        await score(pool, portrait_bytes())
        assert pool.pending == 1
        endless.cancel()


@pytest.mark.parametrize(
    ("image", "min_confidence", "error"),
    [
        (b"not a picture", 0.5, UnreadableImage),
        (png_declaring(10_000, 5_000), 0.5, ImageTooLarge),
        (encoded(Image.new("RGB", (64, 64)), "PNG"), 0.5, NoFaceFound),
        (portrait_bytes(), 1.0, LowConfidence),
    ],
)
async def test_errors_of_the_models_are_raised_unchanged(
    watched: WatchedPipeline, image: bytes, min_confidence: float, error: type[ModelsError]
) -> None:
    """The scorer derives the fallback reason from them."""
    async with pool_of(watched) as pool:
        with pytest.raises(error):
            await pool.score(image, min_confidence=min_confidence, max_faces=1)


async def test_a_bug_that_a_picture_triggers_is_a_failure_of_its_attempt(
    watched: WatchedPipeline,
) -> None:
    """Otherwise the picture would stop one worker after the other."""
    async with pool_of(watched) as pool:
        with pytest.raises(InferenceFailed, match="ValueError: max_faces"):
            await score(pool, portrait_bytes(), max_faces=0)


async def test_results_are_delivered_together_while_pictures_wait(
    watched: WatchedPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch wakes the event loop once."""
    monkeypatch.setattr(streams.inference.pool, "WATCH_INTERVAL_S", 60.0)
    async with pool_of(watched) as pool:
        scoring = [asyncio.create_task(score(pool, portrait_bytes())) for _ in range(3)]
        endless = [asyncio.create_task(score(pool, ENDLESS)) for _ in range(4)]
        await until(lambda: watched.ended == ["scored"] * 3 and pool.waiting == 3)
        assert not any(one.done() for one in scoring), "results were delivered one by one"
        assert pool._results is not None
        pool._results.deliver()
        assert [len(one.faces) for one in await asyncio.gather(*scoring)] == [1, 1, 1]
        for one in endless:
            one.cancel()


async def test_a_batch_that_never_fills_is_delivered(watched: WatchedPipeline) -> None:
    """A result does not wait for a picture that never ends."""
    async with pool_of(watched) as pool:
        scoring = asyncio.create_task(score(pool, portrait_bytes()))
        endless = [asyncio.create_task(score(pool, ENDLESS)) for _ in range(2)]
        assert (await scoring).faces
        assert pool.waiting == 1
        for one in endless:
            one.cancel()


@pytest.mark.parametrize("bug", [SystemExit("a bug"), KeyError("a bug"), GeneratorExit()])
async def test_every_exception_ends_its_attempt(
    watched: WatchedPipeline, monkeypatch: pytest.MonkeyPatch, bug: BaseException
) -> None:
    """The caller gets an error, and the thread takes the next picture."""

    def raising(*_: object, **__: object) -> None:
        raise bug

    async with pool_of(watched) as pool:
        with monkeypatch.context() as broken:
            broken.setattr(WatchedPipeline, "score", raising)
            with pytest.raises(InferenceFailed, match="pipeline"):
                await score(pool, portrait_bytes())
        assert (await score(pool, portrait_bytes())).faces


async def test_a_failed_attempt_frees_its_picture_at_once(
    watched: WatchedPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reference cycles would keep pictures until a full collection, and fill the memory."""
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
            assert [one() for one in kept[:2]] == [None, None], (
                "a frame may still hold the last one"
            )
    finally:
        gc.enable()


async def test_a_pool_is_ready_once_its_models_are_loaded(watched: WatchedPipeline) -> None:
    """A score before that is a bug and raises an error."""
    pool = InferencePool(lambda: watched, threads=1, timeout_s=1.0)
    assert not pool.ready
    with pytest.raises(RuntimeError, match="has not started"):
        await score(pool, portrait_bytes())
    await pool.start()
    assert pool.ready
    await pool.stop()


async def test_start_raises_the_error_of_the_loader(tmp_path: Path) -> None:
    """Models are loaded in a thread of the pool."""
    settings = load_settings(model_cache=tmp_path, face_detector="none-such")
    pool = InferencePool(lambda: load_models(settings), threads=1, timeout_s=1.0)
    with pytest.raises(UnknownModel, match="none-such"):
        await pool.start()
    assert not pool.ready
    await pool.stop()


def test_the_models_get_the_limits_of_the_settings(tmp_path: Path) -> None:
    """A picture one byte larger than ``MAX_IMAGE_BYTES`` is refused."""
    size = len(portrait_bytes())
    settings = load_settings(model_cache=tmp_path, max_image_bytes=size - 1)
    with pytest.raises(ImageTooLarge, match="bytes"):
        load_models(settings).score(portrait_bytes(), min_confidence=0.5, max_faces=1)

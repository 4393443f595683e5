"""Scoring one event: retries, and the reason why an event falls back."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest

from models.errors import (
    ImageTooLarge,
    InferenceFailed,
    InferenceTerminated,
    LowConfidence,
    ModelsError,
    NoFaceFound,
    UnreadableImage,
)
from models.pipeline import FacePipeline
from schemas.codec import decode_scored_face
from schemas.fallback import FallbackReason
from streams.errors import Abandoned, InferenceTimeout
from streams.inference.pool import InferencePool
from streams.scoring.retries import Retries
from streams.telemetry.handling import Handling
from streams.telemetry.metrics import Metrics
from tests.fakes import FakePool, incoming
from tests.streams.scoring.event_scoring import URI, answers, event, failure_of, scorer, settings
from tools.pictures import portrait_bytes


async def test_the_models_get_the_options_of_the_event() -> None:
    """They are ``min_confidence`` and ``max_faces``."""
    pool = FakePool([NoFaceFound(1, 1)])
    await answers(scorer(pool), incoming(event(b"picture", min_confidence=0.25, max_faces=7)))
    assert pool.asked == [(b"picture", 0.25, 7)]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UnreadableImage("torn"), FallbackReason.UNREADABLE_IMAGE),
        (ImageTooLarge("pixels", 2, 1), FallbackReason.IMAGE_TOO_LARGE),
        (NoFaceFound(64, 64), FallbackReason.NO_FACE),
        (LowConfidence(0.4, 0.7), FallbackReason.LOW_CONFIDENCE),
        (ModelsError("something new"), FallbackReason.INFERENCE_FAILED),
    ],
)
async def test_a_permanent_failure_falls_back_after_one_attempt(
    error: ModelsError, reason: FallbackReason
) -> None:
    """The dead letter has the reason, the error's message and the event's bytes."""
    pool, message = FakePool([error]), incoming(event(b"picture"))
    sent = await answers(scorer(pool), message)
    failure = failure_of(sent)
    assert failure.fallback_reason is reason
    assert failure.fallback_detail == str(error)
    assert failure.fallback_attempts == 1
    assert sent[0].value == message.value


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (InferenceTimeout(5.0), FallbackReason.INFERENCE_TIMEOUT),
        (InferenceFailed("sface", "out of memory"), FallbackReason.INFERENCE_FAILED),
        (InferenceTerminated(), FallbackReason.INFERENCE_FAILED),
    ],
)
async def test_a_transient_failure_is_retried_before_the_event_falls_back(
    error: Exception, reason: FallbackReason
) -> None:
    """``ML_ATTEMPTS`` counts all attempts, and the dead letter has their number."""
    pool = FakePool([error] * 3)
    failure = failure_of(await answers(scorer(pool), incoming(event(b"picture"))))
    assert failure.fallback_reason is reason
    assert failure.fallback_attempts == len(pool.asked) == 3


async def test_an_event_is_scored_after_transient_failures(
    pool: InferencePool, pipeline: FacePipeline
) -> None:
    """The last attempt succeeds, so the answer is real."""
    real = pipeline.score(portrait_bytes(), min_confidence=0.7, max_faces=1)
    flaky = FakePool([InferenceTimeout(5.0), InferenceTimeout(5.0), real], pipeline)
    (answer,) = await answers(scorer(flaky), incoming(event(portrait_bytes())))
    assert decode_scored_face(answer.value).provenance == "real"


async def test_retries_free_the_picture_of_each_failed_attempt() -> None:
    """Reference cycles would keep pictures until a full collection, and fill the memory."""
    kept: list[weakref.ref[threading.Event]] = []

    async def attempt(number: int) -> int:
        picture = threading.Event()
        kept.append(weakref.ref(picture))
        if number == 1:
            raise InferenceTimeout(5.0)
        return number

    gc.collect()
    gc.disable()
    try:
        retries = Retries(settings(), is_leaving=lambda: False)
        handling = Handling(incoming(), Metrics())
        await retries.run("real_ml", attempt, (InferenceTimeout,), handling)
        assert [one() for one in kept] == [None, None]
    finally:
        gc.enable()


async def test_the_last_attempt_gives_the_reason() -> None:
    """Earlier attempts may have failed for another reason."""
    pool = FakePool([InferenceTimeout(5.0), NoFaceFound(1, 1)])
    failure = failure_of(await answers(scorer(pool), incoming(event(b"picture"))))
    assert failure.fallback_reason is FallbackReason.NO_FACE
    assert failure.fallback_attempts == 2


async def test_an_attempt_that_a_stop_terminates_is_abandoned() -> None:
    """The stop ended it, so the event must not fall back."""
    with pytest.raises(Abandoned):
        await answers(
            scorer(FakePool([InferenceTerminated()]), leaving=True, ml_attempts=1),
            incoming(event(b"picture")),
        )


async def test_a_retry_is_abandoned_when_the_worker_leaves() -> None:
    """Another worker scores the event, so it must not fall back."""
    with pytest.raises(Abandoned):
        await answers(
            scorer(FakePool([InferenceTimeout(5.0)] * 3), leaving=True), incoming(event(b"picture"))
        )


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        (None, "value"),
        (b"", "value"),
        (b"\xff", "JSON"),
        (b"[]", "object"),
        (event(), "image_base64"),
        (event(b"x", image_uri=URI), "image_uri"),
        (event(b"x", min_confidence=2), "min_confidence"),
    ],
)
async def test_an_invalid_event_falls_back_without_an_attempt(
    value: bytes | None, detail: str
) -> None:
    """The dead letter names the field that is wrong."""
    pool = FakePool([])
    failure = failure_of(await answers(scorer(pool), incoming(value)))
    assert failure.fallback_reason is FallbackReason.INVALID_EVENT
    assert detail in failure.fallback_detail
    assert failure.fallback_attempts == 0


@pytest.mark.parametrize(
    ("setting", "asked", "real"),
    [
        (True, None, True),
        (True, True, True),
        (True, False, False),
        (False, None, False),
        (False, True, False),
        (False, False, False),
    ],
)
async def test_real_scoring_needs_both_the_setting_and_the_event(
    setting: bool, asked: bool | None, real: bool
) -> None:
    """An event can decline real scoring but cannot enforce it."""
    pool = FakePool([NoFaceFound(1, 1)])
    value = event(b"picture", use_real_ml=asked)
    failure = failure_of(await answers(scorer(pool, use_real_ml=setting), incoming(value)))
    assert bool(pool.asked) == real
    if not real:
        assert failure.fallback_reason is FallbackReason.REAL_ML_DISABLED
        assert ("USE_REAL_ML" in failure.fallback_detail) == (not setting)
        assert failure.fallback_attempts == 0


async def test_an_unexpected_error_is_raised() -> None:
    """It is a bug: it stops the worker, and the event is not acknowledged."""
    with pytest.raises(ZeroDivisionError):
        await answers(scorer(FakePool([ZeroDivisionError()])), incoming(event(b"picture")))

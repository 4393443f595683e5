"""Scoring one event: the faces that it becomes, or the reason why it falls back."""

from __future__ import annotations

import base64
import gc
import hashlib
import json
import threading
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from PIL import Image

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
from schemas.fallback import FallbackHeaders, FallbackReason
from schemas.scored_face import face_id_of
from streams.config.settings import Settings, load_settings
from streams.dead_letters import fallback_message
from streams.errors import Abandoned, InferenceTimeout
from streams.inference.circuit import Circuit
from streams.inference.model_loading import load_models
from streams.inference.pool import InferencePool
from streams.messages import Incoming, Outgoing
from streams.pictures.errors import (
    FetchedImageTooLarge,
    ImageForbidden,
    ImageMissing,
    ImageUnavailable,
)
from streams.scoring.outcome import FellBack
from streams.scoring.retries import Retries
from streams.scoring.scorer import Scorer
from streams.telemetry.handling import Handling
from streams.telemetry.metrics import Metrics
from tests.fakes import FakeImages, FakePool, incoming
from tests.models.generated_graphs import quality_model
from tools.pictures import encoded, portrait, portrait_bytes

EVENT_ID = UUID("3f2b8c1e-9c1d-4f5e-8a44-0c9f6f3f7a10")
DIGEST = hashlib.sha256(portrait_bytes()).hexdigest()
URI = "s3://pictures/1.jpg"
TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def settings(**changes: Any) -> Settings:
    """Three attempts, without waits between them."""
    return load_settings(**{"ml_attempts": 3, "ml_backoff_ms": 0, **changes})


def scorer(pool: Any, images: Any = None, *, leaving: bool = False, **changes: Any) -> Scorer:
    chosen = settings(**changes)
    store: Any = images or FakeImages()
    return Scorer(
        chosen,
        pool,
        store,
        circuit=Circuit(threshold=0, window=1, minimum=1),
        is_leaving=lambda: leaving,
    )


async def answers(one: Scorer, message: Incoming) -> list[Outgoing]:
    """The messages that would be published for an event."""
    outcome = await one.score(message, Handling(message, Metrics()))
    if isinstance(outcome, FellBack):
        return [fallback_message(message, outcome.failure, "simulated-fallback")]
    return list(outcome.faces)


def event(image: bytes | None = None, **fields: Any) -> bytes:
    picture = {} if image is None else {"image_base64": base64.b64encode(image).decode()}
    return json.dumps(
        {"event_id": str(EVENT_ID), "user_id": "user-1", **picture, **fields}
    ).encode()


def failure_of(sent: list[Outgoing]) -> FallbackHeaders:
    """The one dead letter's failure; its bytes must be those of the event."""
    (letter,) = sent
    assert letter.topic == "simulated-fallback"
    return FallbackHeaders.from_headers(letter.headers)


@pytest.fixture
async def pool(pipeline: FacePipeline) -> AsyncIterator[InferencePool]:
    """The real models."""
    real = InferencePool(lambda: pipeline, threads=1, timeout_s=60.0)
    await real.start()
    yield real
    await real.stop()


def two_people() -> bytes:
    left, right = portrait(), portrait("eileen-collins")
    picture = Image.new("RGB", (left.width + right.width, max(left.height, right.height)))
    picture.paste(left, (0, 0))
    picture.paste(right, (left.width, 0))
    return encoded(picture, "JPEG")


async def test_a_picture_becomes_a_face_that_carries_the_event(pool: InferencePool) -> None:
    """What came with the event is on its answer, and what was measured by which models."""
    value = event(
        portrait_bytes(), submitted_at="2024-05-01T12:00:00Z", metadata={"a": 1}, extra=[None]
    )
    (answer,) = await answers(scorer(pool), incoming(value))
    face = decode_scored_face(answer.value)
    assert (answer.topic, answer.key) == ("scored-face", b"user-1")
    assert (face.event_id, face.user_id, face.provenance) == (EVENT_ID, "user-1", "real")
    assert (face.face_id, face.face_index, face.face_count) == (face_id_of(EVENT_ID, 0), 0, 1)
    assert face.metadata == {"a": 1, "extra": [None]}
    assert face.submitted_at is not None
    assert face.submitted_at.isoformat() == "2024-05-01T12:00:00+00:00"
    assert face.image_sha256 == DIGEST
    assert face.model is not None
    assert face.model.embedder_sha256 == pool.pipeline.embedder.sha256
    assert (face.model.assessor, face.measures.learned_quality) == (None, None)
    assert face.embedding_size == len(face.embedding) == 128
    assert face.bounding_box is not None
    assert face.timings_ms is not None
    assert face.timings_ms.embed is not None
    assert (face.timings_ms.fetch, face.timings_ms.queued) == (None, None)


async def test_a_chosen_quality_model_is_published_beside_the_quality(tmp_path: Path) -> None:
    """FACE_QUALITY: its raw answer, its name and its time; nothing of it without."""
    quality_model(tmp_path / "judge.onnx")
    chosen = load_settings(face_quality="judge", model_path=tmp_path, model_cache=tmp_path)
    judged = InferencePool(lambda: load_models(chosen), threads=1, timeout_s=60.0)
    await judged.start()
    (answer,) = await answers(scorer(judged), incoming(event(portrait_bytes())))
    await judged.stop()
    face = decode_scored_face(answer.value)
    assert face.measures.learned_quality is not None
    assert -1.0 < face.measures.learned_quality < 1.0
    assert face.model is not None
    assert ("judge", judged.pipeline.assessor.sha256) == (  # type: ignore[union-attr]
        face.model.assessor,
        face.model.assessor_sha256,
    )
    assert face.timings_ms is not None
    assert face.timings_ms.assess is not None


async def test_each_face_of_a_picture_is_a_message_of_its_own(pool: InferencePool) -> None:
    """With its own id, the same ids at every delivery, and the key of its user."""
    value = event(two_people(), max_faces=5)
    first, second = await answers(scorer(pool), incoming(value, key=None))
    faces = [decode_scored_face(answer.value) for answer in (first, second)]
    assert [face.face_index for face in faces] == [0, 1]
    assert [face.face_count for face in faces] == [2, 2]
    assert [face.face_id for face in faces] == [face_id_of(EVENT_ID, 0), face_id_of(EVENT_ID, 1)]
    assert {first.key, second.key} == {b"user-1"}
    assert [dict(answer.headers)["ce_id"] for answer in (first, second)] == [
        str(face.face_id).encode() for face in faces
    ]
    again = await answers(scorer(pool), incoming(value, partition=0, offset=7))
    assert [decode_scored_face(answer.value).face_id for answer in again] == [
        face.face_id for face in faces
    ]


async def test_answers_say_what_they_are_and_carry_the_trace(pool: InferencePool) -> None:
    """CloudEvents and W3C Trace Context; other headers of the sender stay behind."""
    message = incoming(
        event(portrait_bytes()), headers=(("traceparent", TRACE), ("x-internal", b"1"))
    )
    (answer,) = await answers(scorer(pool), message)
    headers = dict(answer.headers)
    assert headers["traceparent"] == TRACE
    assert (headers["ce_type"], headers["ce_source"]) == (b"scored-face", b"facestream")
    assert headers["content-type"] == b"application/json"
    assert "x-internal" not in headers


async def test_the_time_spent_in_the_topic_is_told(pool: InferencePool) -> None:
    """Negative where the sender's clock is ahead of ours; that is no reason to fail."""
    message = incoming(event(portrait_bytes()), timestamp=32503680000.0)
    (answer,) = await answers(scorer(pool), message)
    timings = decode_scored_face(answer.value).timings_ms
    assert timings is not None
    assert timings.queued is not None
    assert timings.queued < 0


async def test_what_the_event_asks_for_reaches_the_models() -> None:
    """min_confidence and max_faces."""
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
async def test_what_cannot_succeed_falls_back_at_once(
    error: ModelsError, reason: FallbackReason
) -> None:
    """With its reason, the error's words, and the event's own bytes."""
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
async def test_what_may_succeed_later_is_tried_again_before_it_falls_back(
    error: Exception, reason: FallbackReason
) -> None:
    """ML_ATTEMPTS in all; how many there were is told."""
    pool = FakePool([error] * 3)
    failure = failure_of(await answers(scorer(pool), incoming(event(b"picture"))))
    assert failure.fallback_reason is reason
    assert failure.fallback_attempts == len(pool.asked) == 3


async def test_a_failure_that_passes_is_no_failure(
    pool: InferencePool, pipeline: FacePipeline
) -> None:
    """The event is answered for real."""
    real = pipeline.score(portrait_bytes(), min_confidence=0.7, max_faces=1)
    flaky = FakePool([InferenceTimeout(5.0), InferenceTimeout(5.0), real], pipeline)
    (answer,) = await answers(scorer(flaky), incoming(event(portrait_bytes())))
    assert decode_scored_face(answer.value).provenance == "real"


async def test_an_attempt_that_failed_leaves_nothing_for_the_garbage_collector() -> None:
    """What it had in its hands goes when it is over, retried or not."""
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


async def test_a_last_attempt_may_fail_otherwise_than_the_first() -> None:
    """The reason is that of the last, and so is the count."""
    pool = FakePool([InferenceTimeout(5.0), NoFaceFound(1, 1)])
    failure = failure_of(await answers(scorer(pool), incoming(event(b"picture"))))
    assert failure.fallback_reason is FallbackReason.NO_FACE
    assert failure.fallback_attempts == 2


async def test_a_last_attempt_that_a_stop_cuts_off_is_abandoned() -> None:
    """It was cancelled with the pool: the picture has not failed, and must not fall back."""
    with pytest.raises(Abandoned):
        await answers(
            scorer(FakePool([InferenceTerminated()]), leaving=True, ml_attempts=1),
            incoming(event(b"picture")),
        )


async def test_a_retry_is_abandoned_when_the_worker_leaves() -> None:
    """Then another worker scores the event; it must not fall back."""
    with pytest.raises(Abandoned):
        await answers(
            scorer(FakePool([InferenceTimeout(5.0)] * 3), leaving=True), incoming(event(b"picture"))
        )


@pytest.mark.parametrize(
    ("value", "says"),
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
async def test_an_invalid_event_falls_back_without_asking_the_models(
    value: bytes | None, says: str
) -> None:
    """What is wrong is said; nothing was tried."""
    pool = FakePool([])
    failure = failure_of(await answers(scorer(pool), incoming(value)))
    assert failure.fallback_reason is FallbackReason.INVALID_EVENT
    assert says in failure.fallback_detail
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
    """An event may decline real scoring; it cannot insist on it."""
    pool = FakePool([NoFaceFound(1, 1)])
    value = event(b"picture", use_real_ml=asked)
    failure = failure_of(await answers(scorer(pool, use_real_ml=setting), incoming(value)))
    assert bool(pool.asked) == real
    if not real:
        assert failure.fallback_reason is FallbackReason.REAL_ML_DISABLED
        assert ("USE_REAL_ML" in failure.fallback_detail) == (not setting)
        assert failure.fallback_attempts == 0


async def test_a_claim_check_is_fetched_and_scored(pool: InferencePool) -> None:
    """The time that fetching took is told."""
    images = FakeImages([portrait_bytes()])
    message = incoming(event(image_uri=URI, image_sha256=DIGEST))
    (answer,) = await answers(scorer(pool, images), message)
    face = decode_scored_face(answer.value)
    assert images.asked == [URI]
    assert face.image_sha256 == DIGEST
    assert face.timings_ms is not None
    assert face.timings_ms.fetch is not None


@pytest.mark.parametrize(
    ("error", "reason", "attempts"),
    [
        (ImageForbidden(URI, "not allowed"), FallbackReason.IMAGE_UNAVAILABLE, 1),
        (ImageMissing(URI, "not there"), FallbackReason.IMAGE_UNAVAILABLE, 1),
        (FetchedImageTooLarge(URI, 2, 1), FallbackReason.IMAGE_TOO_LARGE, 1),
        (ImageUnavailable(URI, "away"), FallbackReason.IMAGE_UNAVAILABLE, 3),
    ],
)
async def test_a_claim_check_that_gives_no_picture_falls_back(
    error: Exception, reason: FallbackReason, attempts: int
) -> None:
    """Only a place that is away is asked again."""
    images = FakeImages([error] * attempts)
    sent = await answers(scorer(FakePool([]), images), incoming(event(image_uri=URI)))
    failure = failure_of(sent)
    assert failure.fallback_reason is reason
    assert failure.fallback_detail == str(error)
    assert failure.fallback_attempts == len(images.asked) == attempts


async def test_a_place_that_comes_back_gives_its_picture(pool: InferencePool) -> None:
    """And the attempts at fetching are not counted against scoring."""
    images = FakeImages([ImageUnavailable(URI, "away")] * 2 + [portrait_bytes()])
    (answer,) = await answers(scorer(pool, images), incoming(event(image_uri=URI)))
    assert answer.topic == "scored-face"
    images = FakeImages([ImageUnavailable(URI, "away")] * 2 + [b"picture"])
    blank = FakePool([NoFaceFound(1, 1)])
    failure = failure_of(await answers(scorer(blank, images), incoming(event(image_uri=URI))))
    assert failure.fallback_attempts == 1


async def test_a_fetch_is_abandoned_when_the_worker_leaves() -> None:
    """As scoring is."""
    images = FakeImages([ImageUnavailable(URI, "away")] * 3)
    with pytest.raises(Abandoned):
        await answers(scorer(FakePool([]), images, leaving=True), incoming(event(image_uri=URI)))


@pytest.mark.parametrize(
    ("value", "reason", "attempts"),
    [
        (event(b"picture", image_sha256="0" * 64), FallbackReason.INVALID_EVENT, 0),
        (event(image_uri=URI, image_sha256="0" * 64), FallbackReason.IMAGE_UNAVAILABLE, 1),
    ],
    ids=["inline", "claim check"],
)
async def test_a_picture_that_is_not_the_promised_one_is_not_scored(
    value: bytes, reason: FallbackReason, attempts: int
) -> None:
    """Inline the event contradicts itself; behind a claim check the picture is not there."""
    pool = FakePool([])
    sent = await answers(scorer(pool, FakeImages([b"picture"])), incoming(value))
    failure = failure_of(sent)
    assert failure.fallback_reason is reason
    assert "image_sha256: expected 0000" in failure.fallback_detail
    assert hashlib.sha256(b"picture").hexdigest() in failure.fallback_detail
    assert failure.fallback_attempts == attempts


async def test_a_digest_in_capitals_is_the_same_digest(pool: InferencePool) -> None:
    """Hexadecimal has two ways to write it."""
    message = incoming(event(portrait_bytes(), image_sha256=DIGEST.upper()))
    (answer,) = await answers(scorer(pool), message)
    assert answer.topic == "scored-face"


async def test_a_bug_is_not_taken_for_a_failure() -> None:
    """It stops the worker, and the event stays where it is."""
    with pytest.raises(ZeroDivisionError):
        await answers(scorer(FakePool([ZeroDivisionError()])), incoming(event(b"picture")))

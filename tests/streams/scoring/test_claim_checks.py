"""Claim checks and digests: how the picture of an event is obtained."""

from __future__ import annotations

import hashlib

import pytest

from models.errors import NoFaceFound
from schemas.codec import decode_scored_face
from schemas.fallback import FallbackReason
from streams.errors import Abandoned
from streams.inference.pool import InferencePool
from streams.pictures.errors import (
    FetchedImageTooLarge,
    ImageForbidden,
    ImageMissing,
    ImageUnavailable,
)
from tests.fakes import FakeImages, FakePool, incoming
from tests.streams.scoring.event_scoring import DIGEST, URI, answers, event, failure_of, scorer
from tools.pictures import portrait_bytes


async def test_the_picture_of_a_claim_check_is_fetched_and_scored(pool: InferencePool) -> None:
    """The answer has the time of the fetch."""
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
async def test_a_claim_check_without_a_picture_falls_back(
    error: Exception, reason: FallbackReason, attempts: int
) -> None:
    """Only an unavailable store is asked again."""
    images = FakeImages([error] * attempts)
    sent = await answers(scorer(FakePool([]), images), incoming(event(image_uri=URI)))
    failure = failure_of(sent)
    assert failure.fallback_reason is reason
    assert failure.fallback_detail == str(error)
    assert failure.fallback_attempts == len(images.asked) == attempts


async def test_attempts_at_fetching_are_not_counted_as_attempts_at_scoring(
    pool: InferencePool,
) -> None:
    """A store that is available again gives its picture, which is scored as usual."""
    images = FakeImages([ImageUnavailable(URI, "away")] * 2 + [portrait_bytes()])
    (answer,) = await answers(scorer(pool, images), incoming(event(image_uri=URI)))
    assert answer.topic == "scored-face"
    images = FakeImages([ImageUnavailable(URI, "away")] * 2 + [b"picture"])
    blank = FakePool([NoFaceFound(1, 1)])
    failure = failure_of(await answers(scorer(blank, images), incoming(event(image_uri=URI))))
    assert failure.fallback_attempts == 1


async def test_a_fetch_is_abandoned_when_the_worker_leaves() -> None:
    """Another worker fetches the picture."""
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
async def test_a_picture_with_another_digest_is_not_scored(
    value: bytes, reason: FallbackReason, attempts: int
) -> None:
    """Inline, the event is invalid; behind a claim check, the promised picture is missing."""
    pool = FakePool([])
    sent = await answers(scorer(pool, FakeImages([b"picture"])), incoming(value))
    failure = failure_of(sent)
    assert failure.fallback_reason is reason
    assert "image_sha256: expected 0000" in failure.fallback_detail
    assert hashlib.sha256(b"picture").hexdigest() in failure.fallback_detail
    assert failure.fallback_attempts == attempts


async def test_a_digest_may_be_in_capitals(pool: InferencePool) -> None:
    """Senders write hexadecimal digits in either case."""
    message = incoming(event(portrait_bytes(), image_sha256=DIGEST.upper()))
    (answer,) = await answers(scorer(pool), message)
    assert answer.topic == "scored-face"

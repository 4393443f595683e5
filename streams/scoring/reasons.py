"""The fallback reason under which each scoring error is published."""

from __future__ import annotations

from models.errors import (
    ImageTooLarge,
    InferenceFailed,
    InferenceTerminated,
    LowConfidence,
    ModelsError,
    NoFaceFound,
    UnreadableImage,
)
from schemas.fallback import FallbackReason
from streams.errors import InferenceTimeout
from streams.inference.circuit import CircuitOpen
from streams.pictures.errors import (
    FetchedImageTooLarge,
    ImageForbidden,
    ImageMissing,
    ImageStoreError,
    ImageUnavailable,
)

REASONS: dict[type[Exception], FallbackReason] = {
    UnreadableImage: FallbackReason.UNREADABLE_IMAGE,
    ImageTooLarge: FallbackReason.IMAGE_TOO_LARGE,
    NoFaceFound: FallbackReason.NO_FACE,
    LowConfidence: FallbackReason.LOW_CONFIDENCE,
    InferenceFailed: FallbackReason.INFERENCE_FAILED,
    InferenceTerminated: FallbackReason.INFERENCE_FAILED,
    InferenceTimeout: FallbackReason.INFERENCE_TIMEOUT,
    FetchedImageTooLarge: FallbackReason.IMAGE_TOO_LARGE,
    ImageForbidden: FallbackReason.IMAGE_UNAVAILABLE,
    ImageMissing: FallbackReason.IMAGE_UNAVAILABLE,
    ImageUnavailable: FallbackReason.IMAGE_UNAVAILABLE,
    CircuitOpen: FallbackReason.CIRCUIT_OPEN,
}

#: The errors that send an event to the fallback topic. Any other error is a bug.
SCORING_ERRORS = (ModelsError, InferenceTimeout, ImageStoreError, CircuitOpen)


class WrongDigest(ImageStoreError):
    """The picture's sha256 differs from the one that the event promised.

    An event that carries its picture contradicts itself. Behind a claim check, the promised picture
    is not there.
    """

    def __init__(self, expected: str, actual: str, *, inline: bool) -> None:
        super().__init__(f"image_sha256: expected {expected}, the picture has {actual}")
        self.reason = FallbackReason.INVALID_EVENT if inline else FallbackReason.IMAGE_UNAVAILABLE


def reason_for(error: Exception) -> FallbackReason:
    """Return the reason that one of ``SCORING_ERRORS`` is published under."""
    if isinstance(error, WrongDigest):
        return error.reason
    for kind, reason in REASONS.items():
        if isinstance(error, kind):
            return reason
    return FallbackReason.INFERENCE_FAILED

"""The codec on any bytes: ``InvalidEvent`` or a record, and both readers agree."""

from __future__ import annotations

import unicodedata
from contextlib import suppress
from datetime import UTC, datetime

from hypothesis import strategies as st

from schemas.codec import (
    decode_image_submitted,
    decode_scored_face,
    encode_image_submitted,
    encode_scored_face,
    identify,
)
from schemas.errors import InvalidEvent
from schemas.fallback import (
    FallbackHeaders,
    FallbackReason,
    with_failure,
    without_failure,
)
from schemas.image_submitted import ImageSubmitted
from tools.example_messages import examples
from tools.fuzz.hostile_events import Message, almost_scored_faces, damaged, messages

#: In characters; the refusal goes into the log and a header.
MAX_REFUSAL = 10_000
FAILURE = FallbackHeaders(
    fallback_reason=FallbackReason.NO_FACE,
    fallback_detail="no detection",
    fallback_attempts=1,
    source_topic="image-submitted",
    source_partition=2,
    source_offset=1041,
    failed_at=datetime(2024, 5, 1, 12, tzinfo=UTC),
    worker="worker-1",
)

_any: st.SearchStrategy[Message | bytes] = (
    messages
    | almost_scored_faces()
    | st.sampled_from([one.value or b"" for one in examples("scored-face", "v1")]).flatmap(damaged)
    | st.sampled_from([one.value or b"" for one in examples("image-submitted", "v1")])
    .flatmap(damaged)
    .map(lambda value: Message(value, b"user-1", ()))
)


# Several messages per example, as hypothesis takes longer than the codec.
inputs = st.lists(_any, min_size=4, max_size=4)


def check(given: list[Message | bytes]) -> int:
    """Check each message, and return their number. Raises what the codec should not."""
    for one in given:
        if isinstance(one, bytes):
            _check_scored_face(one)
        else:
            _check_submitted(one)
    return len(given)


def _check_scored_face(value: bytes) -> None:
    with suppress(InvalidEvent):
        face = decode_scored_face(value)
        assert decode_scored_face(encode_scored_face(face)) == face


def _check_submitted(message: Message) -> None:
    identity = identify(message.value, message.key, message.headers)
    read = _read(message)
    if isinstance(read, InvalidEvent):
        assert read.problems
        assert len(str(read)) < MAX_REFUSAL
    else:
        assert identity is not None
        assert (identity.event_id, identity.user_id) == (read.event_id, read.user_id)
        assert not any(unicodedata.category(character) == "Cc" for character in read.user_id)
        assert decode_image_submitted(encode_image_submitted(read), None, None) == read
    with suppress(InvalidEvent):
        FallbackHeaders.from_headers(message.headers)
    letter = with_failure(message.headers, FAILURE)
    assert FallbackHeaders.from_headers(letter) == FAILURE
    assert without_failure(letter) == without_failure(message.headers)


def _read(message: Message) -> ImageSubmitted | InvalidEvent:
    try:
        return decode_image_submitted(message.value, message.key, message.headers)
    except InvalidEvent as refusal:
        return refusal

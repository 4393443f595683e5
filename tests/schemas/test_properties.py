"""For any input, decode raises only ``InvalidEvent``, and identify raises nothing."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.cloud_events import output_headers
from schemas.codec import (
    decode_image_submitted,
    decode_scored_face,
    encode_image_submitted,
    encode_scored_face,
    identify,
)
from schemas.errors import InvalidEvent
from schemas.fallback import FallbackHeaders, with_failure, without_failure
from schemas.headers import Header
from schemas.image_submitted import ImageSubmitted
from schemas.scored_face import ScoredFace
from tests.schemas.test_cloud_events import ID, NOON
from tests.schemas.test_fallback import make_failure
from tools.example_messages import example
from tools.fuzz.hostile_events import FIELDS, HEADER_NAMES

json_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
sound_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
)


def _nested(scalars: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        scalars,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
        ),
        max_leaves=8,
    )


# Values that pass the first check, so that later checks are reached too.
plausible = st.sampled_from(
    [
        *("u", "YQ==", "data:image/png;base64,YQ==", "s3://a/b", "ab" * 32),
        "2024-05-01T12:00:00Z",
        "3f2b8c1e-9c1d-4f5e-8a44-0c9f6f3f7a10",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59-14:00",
    ]
)
events = st.dictionaries(
    st.sampled_from(FIELDS) | st.text(max_size=8), plausible | _nested(json_scalars), max_size=8
)
keys = st.none() | st.binary(max_size=8) | st.just(b"user-42")
headers = st.none() | st.lists(
    st.tuples(
        st.sampled_from(HEADER_NAMES) | st.text(max_size=8),
        st.none()
        | st.binary(max_size=16)
        | st.just(b"image/png")
        | plausible.map(str.encode)
        | events.map(lambda event: json.dumps(event).encode()),
    ),
    max_size=6,
)
values = (
    st.none()
    | st.binary(max_size=64)
    | _nested(json_scalars).map(lambda value: json.dumps(value).encode())
    | events.map(lambda event: json.dumps(event).encode())
    | events.map(lambda event: json.dumps(event, ensure_ascii=False).encode())
)


@settings(max_examples=400, deadline=None)
@given(values, keys, headers)
def test_decode_and_identify_on_anything(
    value: bytes | None, key: bytes | None, headers: list[Header] | None
) -> None:
    """No input causes another error, and both functions agree."""
    identity = identify(value, key, headers)
    with contextlib.suppress(InvalidEvent):
        record = decode_image_submitted(value, key, headers)
        assert identity is not None
        assert identity.event_id == record.event_id
        assert identity.user_id == record.user_id
        assert identity.submitted_at == record.submitted_at
        assert identity.metadata == record.metadata
    if identity is not None:
        _answer(identity.metadata)


def _answer(metadata: dict[str, Any]) -> None:
    """Check that the identity fits into an answer that can be decoded."""
    face = decode_scored_face(example("scored-face/v1/simulated").value)
    answer = ScoredFace(**(dict(face) | {"metadata": metadata}))

    assert decode_scored_face(encode_scored_face(answer)) == answer


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(
        st.text(max_size=8).filter(lambda name: name not in FIELDS), _nested(sound_scalars)
    )
)
def test_unknown_fields_keep_their_type(unknown: dict[str, Any]) -> None:
    """Any JSON in unknown fields reaches metadata, and survives a round trip, unchanged."""
    value = json.dumps({"user_id": "u", "image_uri": "a.png"} | unknown).encode()
    record = decode_image_submitted(value, None, None)
    again = decode_image_submitted(encode_image_submitted(record), None, None)

    # repr tells 1, 1.0 and True apart, where == does not.
    assert repr(unknown) == repr(record.metadata)
    assert record == again
    assert repr(record.metadata) == repr(again.metadata)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=40),
    st.dictionaries(st.text(max_size=8), _nested(sound_scalars), max_size=3),
    st.datetimes(),
)
def test_scored_face_round_trips(
    embedding: list[float], metadata: dict[str, Any], scored_at: Any
) -> None:
    """Any float32 embedding, metadata and instant survives a round trip."""
    simulated = decode_scored_face(example("scored-face/v1/simulated").value)
    fields = dict(simulated) | {
        "embedding": embedding,
        "embedding_size": len(embedding),
        "metadata": metadata,
        "scored_at": scored_at.replace(tzinfo=NOON.tzinfo),
    }
    face = ScoredFace(**fields)
    read = decode_scored_face(encode_scored_face(face))

    assert read == face
    assert tuple(embedding) == read.embedding
    assert repr(metadata) == repr(read.metadata)


@settings(max_examples=150, deadline=None)
@given(
    st.none() | st.binary(max_size=64) | _nested(json_scalars).map(lambda v: json.dumps(v).encode())
)
def test_decode_scored_face_on_anything(value: bytes | None) -> None:
    """No bytes cause another error than ``InvalidEvent``."""
    with contextlib.suppress(InvalidEvent):
        decode_scored_face(value)


@settings(max_examples=150, deadline=None)
@given(headers)
def test_headers_on_anything(incoming: list[Header] | None) -> None:
    """Any headers can be answered, and survive a failure and a re-drive."""
    output_headers(incoming, id=ID, type="t", source="s", time=NOON)
    with contextlib.suppress(InvalidEvent):
        FallbackHeaders.from_headers(incoming)
    dead = with_failure(incoming, make_failure())

    assert FallbackHeaders.from_headers(dead) == make_failure()
    assert with_failure(dead, make_failure()) == dead
    assert without_failure(dead) == without_failure(incoming)


@settings(max_examples=100, deadline=None)
@given(st.text(), st.binary(min_size=1, max_size=40))
def test_every_valid_record_survives_the_wire(user_id: str, picture: bytes) -> None:
    """Any text that is valid as a user id survives a round trip."""
    with contextlib.suppress(ValueError):
        record = ImageSubmitted(event_id=ID, user_id=user_id, image=picture)
        assert decode_image_submitted(encode_image_submitted(record), None, None) == record

"""Megabytes of small values are refused at the cost of reading them once."""

from __future__ import annotations

import base64
import json
import time
import tracemalloc

import pytest

from schemas.codec import decode_image_submitted, decode_scored_face, identify
from schemas.errors import InvalidEvent
from schemas.http_api import DetectFaceRequest, read_request
from schemas.json_budget import JSON_BUDGET
from tools.example_messages import example

#: About as much as one Kafka record holds by default.
COUNT = 2_500_000
EMPTY_OBJECTS = b"[" + b"{}," * COUNT + b"{}]"
PICTURE = base64.b64encode(bytes(range(256)) * 4000).decode()


@pytest.mark.parametrize("numbers", [b'"",' * COUNT + b'""', b"0.5," * COUNT + b"0.5"])
def test_an_embedding_of_megabytes_is_one_problem(numbers: bytes) -> None:
    """One finding per number would take gigabytes and a quarter of a minute."""
    whole = dict(example("scored-face/v1/real").content["value"])
    whole["embedding"] = "here"
    value = json.dumps(whole).encode().replace(b'"here"', b"[" + numbers + b"]")
    started = time.process_time()
    with pytest.raises(InvalidEvent) as refused:
        decode_scored_face(value)
    assert time.process_time() - started < 3.0
    assert len(refused.value.problems) == 1
    assert refused.value.problems[0].field.startswith("embedding")


@pytest.mark.parametrize("field", [b"metadata", b"unknown"])
def test_too_many_values_are_refused_before_parsing(field: bytes) -> None:
    """Half a gigabyte of objects is never created."""
    value = b'{"user_id":"u","image_uri":"s3://a/b","%s":%s}' % (field, EMPTY_OBJECTS)
    tracemalloc.start()
    try:
        for read in (
            lambda: decode_image_submitted(value, None, ()),
            lambda: read_request(DetectFaceRequest, value),
        ):
            with pytest.raises(InvalidEvent, match="65,536 bytes of JSON besides the picture"):
                read()
        assert tracemalloc.get_traced_memory()[1] < 2 * len(value)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("entry", ["metadata", "unknown"])
def test_metadata_has_a_limit(entry: str) -> None:
    """Beyond it the event is invalid, but its sender is still identified, without metadata."""
    room = JSON_BUDGET - len('{"unknown":""}')

    def event(size: int) -> bytes:
        text = "x" * size
        given = {"metadata": {"unknown": text}} if entry == "metadata" else {"unknown": text}
        return json.dumps({"user_id": "u", "image_uri": "s3://a/b", **given}).encode()

    assert decode_image_submitted(event(room), None, ()).metadata == {"unknown": "x" * room}
    with pytest.raises(InvalidEvent) as refused:
        decode_image_submitted(event(room + 1), None, ())
    assert str(refused.value) == (
        "metadata: expected at most 65,536 bytes of JSON besides the picture, found 65,537 bytes"
    )
    identity = identify(event(room + 1), None, ())
    assert identity is not None
    assert ("u", {}) == (identity.user_id, identity.metadata)


def test_metadata_in_a_header_has_the_same_limit() -> None:
    """In binary mode the picture is the value, so every header is checked alone."""
    headers = [("content-type", b"image/png"), ("user_id", b"u"), ("metadata", EMPTY_OBJECTS)]
    with pytest.raises(InvalidEvent, match="metadata: expected at most 65,536 bytes"):
        decode_image_submitted(b"picture", None, headers)
    headers[-1] = ("metadata", json.dumps({"a": "x" * JSON_BUDGET}).encode())
    with pytest.raises(InvalidEvent, match="metadata: expected at most 65,536 bytes"):
        decode_image_submitted(b"picture", None, headers)
    headers[-1] = ("max_faces", EMPTY_OBJECTS)
    with pytest.raises(InvalidEvent, match="max_faces: expected"):
        decode_image_submitted(b"picture", None, headers)


@pytest.mark.parametrize("slash", ["/", "\\/"])
def test_a_large_picture_does_not_count(slash: str) -> None:
    """Also when every slash is escaped, as PHP and others write it."""
    text = PICTURE.replace("/", slash)
    value = b'{"user_id":"u","image":"data:image/png;base64,%s"}' % text.encode()
    assert decode_image_submitted(value, None, ()).image == base64.b64decode(PICTURE)

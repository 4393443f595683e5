"""``identify`` reads enough of an invalid event to answer it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from schemas.codec import Identity, identify
from schemas.headers import Header
from schemas.image_submitted import derived_event_id

EVENT_ID = UUID("3f2b8c1e-9c1d-4f5e-8a44-0c9f6f3f7a10")
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
GOOD = {
    "event_id": str(EVENT_ID),
    "user_id": "u",
    "submitted_at": "2024-05-01T12:00:00Z",
    "campaign": "spring",
}


def _identify(fields: object, key: bytes | None = None) -> Identity | None:
    return identify(json.dumps(fields).encode(), key, None)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"image_base64": "YQ==", "image_uri": "a.png"},
        {"image_base64": "not base64!"},
        {"image_base64": 12},
        {"min_confidence": 1.5},
        {"min_confidence": float("nan")},
        {"max_faces": None, "isBase64": "no"},
        {"image_sha256": "12"},
    ],
)
def test_other_problems_do_not_hide_the_identity(wrong: dict[str, Any]) -> None:
    """Pictures and options may be invalid in any way."""
    expected = Identity(EVENT_ID, "u", NOON, {"campaign": "spring"})

    assert expected == _identify(GOOD | wrong)


def test_an_invalid_event_id_counts_as_absent() -> None:
    """The id is derived instead."""
    fields = GOOD | {"event_id": "42"}
    identity = _identify(fields)

    assert identity is not None
    assert identity.event_id == derived_event_id("u", json.dumps(fields).encode())


def test_an_invalid_instant_counts_as_absent() -> None:
    """The time of submission is unknown then."""
    identity = _identify(GOOD | {"submitted_at": "noon"})

    assert identity is not None
    assert identity.submitted_at is None


def test_metadata_that_is_not_json_is_left_out() -> None:
    """The other entries are kept."""
    identity = _identify(GOOD | {"ratio": float("inf"), "metadata": ["spring"]})

    assert identity is not None
    assert identity.metadata == {"campaign": "spring"}


def test_the_key_is_the_user_when_the_field_is_absent() -> None:
    """As in the record."""
    identity = _identify({"event_id": str(EVENT_ID)}, b"from-key")

    assert identity == Identity(EVENT_ID, "from-key", None, {})


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({}, None),
        ({}, b"\xff"),
        ({"user_id": None}, b"k"),
        ({"user_id": ""}, b"k"),
        ({"userId": 5}, b"k"),
        ({"user_id": "u", "userId": "v"}, b"k"),
        ([], b"k"),
        ("text", b"k"),
    ],
)
def test_without_a_user_there_is_no_identity(fields: object, key: bytes | None) -> None:
    """An event without a valid user cannot be answered."""
    assert _identify(fields, key) is None


@pytest.mark.parametrize("value", [None, b"", b"{", b"\xff", b'{"a":' + b"[" * 1_000_000])
def test_bytes_that_are_not_json_have_no_identity(value: bytes | None) -> None:
    """They cause no error."""
    assert identify(value, b"k", None) is None


def test_binary_mode() -> None:
    """An empty picture or an invalid header does not hide the identity."""
    headers: list[Header] = [
        ("content-type", b"image/png"),
        ("ce_id", str(EVENT_ID).encode()),
        ("user_id", b"u"),
        ("ce_time", b"2024-05-01T12:00:00Z"),
        ("max_faces", b"\xff"),
        ("metadata", b'{"campaign": "spring"}'),
    ]

    assert identify(None, None, headers) == Identity(EVENT_ID, "u", NOON, {"campaign": "spring"})

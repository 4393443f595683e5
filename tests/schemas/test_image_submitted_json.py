"""image-submitted as JSON: every field, under its current and its older names."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from schemas.codec import decode_image_submitted, encode_image_submitted
from schemas.errors import InvalidEvent
from schemas.image_submitted import ImageSubmitted, derived_event_id
from tools.example_messages import example

PICTURE = b"\x89PNG picture"
TEXT = base64.b64encode(PICTURE).decode()
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
EVENT_ID = UUID("3f2b8c1e-9c1d-4f5e-8a44-0c9f6f3f7a10")


def _decode(key: bytes | None = None, /, **fields: Any) -> ImageSubmitted:
    return decode_image_submitted(json.dumps(fields).encode(), key, None)


def _example(name: str) -> ImageSubmitted:
    message = example(f"image-submitted/v1/{name}")
    return decode_image_submitted(message.value, message.key, message.headers)


def test_defaults() -> None:
    """Only a user and a picture are required."""
    record = _decode(user_id="u", image_base64=TEXT)

    assert record.image == PICTURE
    assert record.image_uri is None
    assert record.submitted_at is None
    assert record.use_real_ml is None
    assert record.min_confidence == 0.7
    assert record.max_faces == 1
    assert record.metadata == {}


def test_full_example() -> None:
    """Every field is read; the hash becomes lower case and the instant UTC."""
    record = _example("full")

    assert record.event_id == EVENT_ID
    assert record.image_sha256 is not None
    assert record.image_sha256.islower()
    assert record.submitted_at == NOON
    assert record.submitted_at.tzinfo == UTC
    assert record.use_real_ml is True
    assert record.min_confidence == 0.8
    assert record.max_faces == 5
    assert record.metadata == {"campaign": "spring", "attempt": 2}


def test_older_job_with_a_picture() -> None:
    """Older names, epoch milliseconds, and verification flags, which metadata keeps."""
    record = _example("older-job-base64")

    assert record.user_id == "user-42"
    assert record.image is not None
    assert record.image.startswith(b"\x89PNG")
    assert record.use_real_ml is True
    assert record.submitted_at == NOON
    assert record.metadata == {"nft_verified": True, "wld_verified": False}


def test_older_job_with_a_path() -> None:
    """With isBase64 false, ``image`` is a URI; flags may be in metadata already."""
    record = _example("older-job-uri")

    assert record.image is None
    assert record.image_uri == "uploads/user-42.jpg"
    assert record.submitted_at == NOON
    assert record.metadata == {"nft_verified": True, "wld_verified": True, "jobId": "job-7"}


@pytest.mark.parametrize("fields", [{}, {"isBase64": True}, {"isBase64": None}])
def test_older_image_is_base64_by_default(fields: dict[str, Any]) -> None:
    """``image`` is a picture when isBase64 is true, null or absent."""
    assert _decode(userId="u", image=TEXT, **fields).image == PICTURE


@pytest.mark.parametrize(
    "text",
    [
        f"data:image/png;base64,{TEXT}",
        f"DATA:image/png;name=a.png;BASE64,{TEXT}",
        f"data:;base64,{TEXT}",
        f" \r\n{TEXT[:3]}\t\v\f{TEXT[3:]}\n",
    ],
)
def test_base64_may_be_a_data_url_and_wrapped(text: str) -> None:
    """Data URLs and ASCII white space do not change the picture."""
    assert _decode(user_id="u", image_base64=text).image == PICTURE


@pytest.mark.parametrize(
    "text",
    [
        *("a", "YQ", "YQ=", "YQ===", "YQ==YQ==", "=YQ=", "Y-_=", "YQ==\u00a0", "ünicode"),
        "data:,YQ==",
        "data:image/png;base64,",
        "data:image/png;base64",
        " ",
        "data:" + "x" * 999 + ";base64,YQ==",
    ],
)
def test_base64_is_strict(text: str) -> None:
    """Wrong length, wrong or missing padding, other alphabets and empty pictures are refused."""
    with pytest.raises(InvalidEvent, match=r"^image_base64: expected a picture in base64"):
        _decode(user_id="u", image_base64=text)


def test_unknown_fields_keep_their_type() -> None:
    """Unknown fields go to metadata unchanged, unless metadata has an entry of that name."""
    metadata = _example("unknown-fields").metadata

    expected = {
        "whole": 7,
        "fraction": 7.0,
        "huge": 123456789012345678901234567890,
        "flag": False,
        "nothing": None,
        "nested": {"list": [1, 1.5, "1"]},
        "colour": "of the metadata",
    }
    assert expected == metadata
    assert {name: type(value) for name, value in expected.items()} == {
        name: type(value) for name, value in metadata.items()
    }


def test_null_is_absent() -> None:
    """Null optional fields give the defaults."""
    record, minimal = _example("nulls"), _decode(user_id="user-42", image_base64=TEXT)

    ours = {"event_id", "image"}
    assert record.model_dump(exclude=ours) == minimal.model_dump(exclude=ours)


def test_user_comes_from_the_key_only_when_the_field_is_absent() -> None:
    """The record key replaces an absent user_id, and never overrides one."""
    assert _decode(b"from-key", image_base64=TEXT).user_id == "from-key"
    assert _decode(b"from-key", userId="u", image_base64=TEXT).user_id == "u"
    with pytest.raises(InvalidEvent, match=r"^user_id: .* found null$"):
        _decode(b"from-key", user_id=None, image_base64=TEXT)


@pytest.mark.parametrize("key", [b"", b"\xff", b"a\nb", b"u" * 257])
def test_an_invalid_key_is_named_as_the_key(key: bytes) -> None:
    """The error of a user id from the record key says so."""
    with pytest.raises(InvalidEvent, match=r"^record key: expected a string of 1 to 256"):
        _decode(key, image_base64=TEXT)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"user_id": "u"}, {"userId": "u"}),
        ({"image_base64": TEXT}, {"imageBase64": TEXT}),
        ({"imageBase64": TEXT}, {"image": TEXT}),
        ({"use_real_ml": False}, {"useRealML": False}),
        ({"submitted_at": "2024-05-01T12:00:00Z"}, {"timestamp": 1714564800000}),
        ({"nft_verified": 1}, {"nftVerified": 1}),
    ],
)
def test_a_field_may_be_given_by_both_names_with_one_value(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    """The same value under two names is accepted."""
    _decode(**({"user_id": "u", "image_base64": TEXT} | first | second))


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        ({"user_id": "u"}, {"userId": "v"}, "userId"),
        ({"image_base64": TEXT}, {"imageBase64": "YQ=="}, "imageBase64"),
        ({"imageBase64": TEXT}, {"image": "YQ=="}, "image"),
        ({"use_real_ml": True}, {"useRealML": False}, "useRealML"),
        ({"use_real_ml": True}, {"useRealML": 1}, "useRealML"),
        ({"submitted_at": "2024-05-01T12:00:00Z"}, {"timestamp": 0}, "timestamp"),
        ({"nft_verified": 1}, {"nftVerified": 1.0}, "nftVerified"),
    ],
)
def test_two_values_for_one_field_are_an_error(
    first: dict[str, Any], second: dict[str, Any], named: str
) -> None:
    """Different values under two names are refused; the error names the second, without bytes."""
    base = {"user_id": "u"} if "mage" in named else {"user_id": "u", "image_base64": TEXT}

    with pytest.raises(InvalidEvent, match=f"^{named}: expected the same value as") as refusal:
        _decode(**(base | first | second))

    assert len(refusal.value.problems) == 1
    assert "YQ==" not in str(refusal.value)


def test_two_values_in_metadata_are_an_error() -> None:
    """Within metadata, an entry must have the same value under both names too."""
    with pytest.raises(InvalidEvent, match=r"^metadata\.wldVerified: expected the same value as"):
        _decode(
            user_id="u",
            image_base64=TEXT,
            metadata={"wld_verified": True, "wldVerified": False},
        )


def test_metadata_wins_over_an_older_name_at_the_top() -> None:
    """Entries of metadata win over the top level, under older names too."""
    record = _decode(
        user_id="u", image_base64=TEXT, nftVerified=True, metadata={"nft_verified": "no"}
    )

    assert record.metadata == {"nft_verified": "no"}


def test_very_deep_json_is_an_error() -> None:
    """A million brackets cause an error, not a crash."""
    with pytest.raises(InvalidEvent, match="recursion limit"):
        decode_image_submitted(b'{"a":' + b"[" * 60_000, b"u", None)
    with pytest.raises(InvalidEvent, match="found about 1,000,001 values"):
        decode_image_submitted(b'{"a":' + b"[" * 1_000_000, b"u", None)


def test_names_in_errors_are_safe_to_print() -> None:
    """A sender's field name appears in the error shortened and without control characters."""
    name = "\x1b[2J" + "n" * 1000

    with pytest.raises(InvalidEvent) as refusal:
        _decode(user_id="u", image_base64=TEXT, **{name: float("nan")})

    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 200


def test_derived_event_id() -> None:
    """Without event_id, the same user and bytes give the same id, others another."""
    value = json.dumps({"image_base64": TEXT}).encode()
    record = decode_image_submitted(value, b"u", None)

    assert record.event_id == UUID("fed2b25f-822a-5895-8b19-e5a9c1f52a85")
    assert record.event_id == derived_event_id("u", value)
    assert record.event_id != decode_image_submitted(value, b"v", None).event_id
    assert record.event_id != decode_image_submitted(value + b" ", b"u", None).event_id


def test_all_problems_are_reported_at_once() -> None:
    """One error names every invalid field."""
    with pytest.raises(InvalidEvent) as refusal:
        _decode(userId=5, max_faces="1", useRealML="yes", event_id=1, ratio=float("inf"))

    assert {problem.field for problem in refusal.value.problems} == {
        "userId",
        "max_faces",
        "useRealML",
        "event_id",
        "ratio",
        "image_base64 | image_uri",
    }


def test_encoding_round_trips() -> None:
    """A record survives encoding and decoding."""
    for name in ("full", "image-uri", "older-job-uri", "unknown-fields"):
        record = _example(name)
        assert decode_image_submitted(encode_image_submitted(record), None, None) == record


def test_the_record_holds_exactly_one_picture() -> None:
    """The contract holds for records built in code too."""
    with pytest.raises(ValidationError, match=r"exactly one of image_base64 \| image_uri"):
        ImageSubmitted(event_id=EVENT_ID, user_id="u")
    with pytest.raises(ValidationError, match=r"exactly one of image_base64 \| image_uri"):
        ImageSubmitted(event_id=EVENT_ID, user_id="u", image=PICTURE, image_uri="a.png")


def test_the_record_never_shows_its_picture() -> None:
    """Neither its repr nor a validation error prints picture bytes."""
    assert "PNG" not in repr(ImageSubmitted(event_id=EVENT_ID, user_id="u", image=PICTURE))
    with pytest.raises(ValidationError) as refusal:
        ImageSubmitted(event_id=EVENT_ID, user_id="u", image=PICTURE, image_uri="a.png")
    assert "input_value" not in str(refusal.value)

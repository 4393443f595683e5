"""image-submitted in binary mode: the value is the picture, headers are the other fields."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from schemas.codec import (
    decode_image_submitted,
    encode_image_submitted_binary,
)
from schemas.errors import InvalidEvent
from schemas.headers import Header
from schemas.image_submitted import ImageSubmitted, derived_event_id
from tools.example_messages import example

EVENT_ID = UUID("3f2b8c1e-9c1d-4f5e-8a44-0c9f6f3f7a10")
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
PNG: Header = ("content-type", b"image/png")


def _decode(*headers: Header, key: bytes | None = b"user-42") -> ImageSubmitted:
    return decode_image_submitted(b"\x89PNG", key, [PNG, *headers])


def test_full_example() -> None:
    """Every field can be a header; the header wins over the record key."""
    message = example("image-submitted/v1/binary-full.message")
    record = decode_image_submitted(message.value, message.key, message.headers)

    assert record.event_id == EVENT_ID
    assert record.user_id == "user-42"
    assert record.image == message.value
    assert record.submitted_at == NOON
    assert record.use_real_ml is True
    assert record.min_confidence == 0.8
    assert record.max_faces == 5
    assert record.metadata == {"campaign": "spring", "attempt": 2}


def test_the_content_type_alone_is_enough() -> None:
    """The key is the user, the id is derived, and the other fields have their defaults."""
    record = _decode()

    assert record.user_id == "user-42"
    assert record.event_id == derived_event_id("user-42", b"\x89PNG")
    assert (record.min_confidence, record.max_faces, record.metadata) == (0.7, 1, {})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("content-type", b"image/jpeg"),
        ("Content-Type", b"IMAGE/PNG"),
        ("CONTENT-TYPE", b" image/webp; q=1"),
    ],
)
def test_content_type_ignores_case_and_parameters(name: str, value: bytes) -> None:
    """Media types compare as in HTTP."""
    assert decode_image_submitted(b"x", b"u", [(name, value)]).image == b"x"


@pytest.mark.parametrize("value", [b"application/json", b"images/png", b"\xff", b"", None])
def test_other_content_types_mean_json(value: bytes | None) -> None:
    """Only image/* is binary mode; the value of anything else is read as JSON."""
    headers: list[Header] = [("content-type", value)]
    json_value = b'{"image_uri": "a.png"}'

    assert decode_image_submitted(json_value, b"u", headers).image_uri == "a.png"


def test_the_last_header_of_a_name_counts() -> None:
    """As in Kafka's own lastHeader."""
    assert _decode(("max_faces", b"2"), ("max_faces", b"3")).max_faces == 3


def test_a_null_header_is_absent() -> None:
    """Header values may be null."""
    assert _decode(("user_id", None), ("use_real_ml", None)).user_id == "user-42"


@pytest.mark.parametrize(("text", "read"), [(b"True", True), (b"false", False), (b" true ", True)])
def test_booleans_in_headers(text: bytes, read: bool) -> None:
    """Case is ignored in true and false, which many languages capitalise."""
    assert read is _decode(("use_real_ml", text)).use_real_ml


def test_submitted_at_wins_over_ce_time() -> None:
    """ce_time says when the event was created; it is used only without submitted_at."""
    later = ("ce_time", b"2024-05-01T13:00:00Z")

    assert _decode(("submitted_at", b"2024-05-01T12:00:00Z"), later).submitted_at == NOON
    assert _decode(later).submitted_at == NOON.replace(hour=13)


def test_two_event_ids_must_agree() -> None:
    """ce_id and event_id are two names of one field."""
    text = str(EVENT_ID).encode()

    assert _decode(("ce_id", text), ("event_id", text)).event_id == EVENT_ID
    with pytest.raises(InvalidEvent, match=r"^event_id: expected the same value as ce_id"):
        _decode(("ce_id", text), ("event_id", b"7cffb1e2-9f96-57f7-9c1f-b5b0f9a9d3a0"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ce_id", b"\xff"),
        ("user_id", b"\xff"),
        ("user_id", b""),
        ("image_sha256", b"12"),
        ("submitted_at", b"noon"),
        ("ce_time", b"\xff"),
        ("use_real_ml", b"1"),
        ("min_confidence", b"NaN"),
        ("min_confidence", b"1e999"),
        ("max_faces", b"two"),
        ("max_faces", b"2.0"),
        ("metadata", b"[]"),
        ("metadata", b"{"),
        ("metadata", b"\xff"),
    ],
)
def test_an_invalid_header_is_named(name: str, value: bytes) -> None:
    """The error names the header, and nothing else."""
    with pytest.raises(InvalidEvent, match=f"^{name}: expected") as refusal:
        _decode((name, value))

    assert len(refusal.value.problems) == 1


def test_the_metadata_header_has_the_same_rules() -> None:
    """Older names are replaced and NaN is refused, as in JSON mode."""
    assert _decode(("metadata", b'{"nftVerified": 1}')).metadata == {"nft_verified": 1}
    with pytest.raises(InvalidEvent, match=r"^metadata\.a: expected JSON with finite numbers"):
        _decode(("metadata", b'{"a": NaN}'))


@pytest.mark.parametrize("value", [None, b""])
def test_an_empty_value_is_refused(value: bytes | None) -> None:
    """An empty or null value is not a picture."""
    with pytest.raises(InvalidEvent, match=r"^value: expected the bytes of a picture"):
        decode_image_submitted(value, b"u", [PNG])


def test_encoding_round_trips() -> None:
    """A record survives encoding and decoding, with any characters in the user id."""
    record = ImageSubmitted(
        event_id=EVENT_ID,
        user_id="Zoë",
        image=b"\x89PNG",
        image_sha256="ab" * 32,
        submitted_at=NOON,
        use_real_ml=False,
        min_confidence=0.25,
        max_faces=3,
        metadata={"one": 1, "half": 0.5, "name": "é"},
    )
    value, headers = encode_image_submitted_binary(record, "image/png")

    assert value == b"\x89PNG"
    assert decode_image_submitted(value, None, headers) == record


def test_encoding_refuses_records_that_do_not_fit_binary_mode() -> None:
    """A URI is not picture bytes, and another media type would be read as JSON."""
    uri = ImageSubmitted(event_id=EVENT_ID, user_id="u", image_uri="a.png")
    picture = ImageSubmitted(event_id=EVENT_ID, user_id="u", image=b"x")

    with pytest.raises(ValueError, match="image_uri"):
        encode_image_submitted_binary(uri, "image/png")
    with pytest.raises(ValueError, match="found 'text/plain'"):
        encode_image_submitted_binary(picture, "text/plain")

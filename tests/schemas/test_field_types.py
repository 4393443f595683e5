"""The field types of records, through image-submitted: instants, UUIDs and metadata."""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from schemas.codec import decode_image_submitted
from schemas.errors import InvalidEvent
from schemas.field_types import MAX_METADATA_DEPTH
from schemas.image_submitted import ImageSubmitted

TEXT = base64.b64encode(b"picture").decode()
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
EVENT_ID = UUID("3f2b8c1e-9c1d-4f5e-8a44-0c9f6f3f7a10")


def _decode(**fields: Any) -> ImageSubmitted:
    return decode_image_submitted(json.dumps(fields).encode(), None, None)


@pytest.mark.parametrize(
    ("name", "value", "instant"),
    [
        ("submitted_at", "2024-05-01T12:00:00", NOON),
        ("submitted_at", "2024-05-01T17:30:00+05:30", NOON),
        ("submitted_at", "20240501T120000Z", NOON),
        ("submitted_at", "2024-05-01T12:00:00.250Z", NOON.replace(microsecond=250_000)),
        ("timestamp", "2024-05-01T12:00:00Z", NOON),
        ("timestamp", 1714564800000, NOON),
        ("timestamp", 1714564800000.5, NOON.replace(microsecond=500)),
        ("timestamp", -1, datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)),
    ],
)
def test_instants(name: str, value: object, instant: datetime) -> None:
    """ISO 8601 with any offset, UTC without one; ``timestamp`` also in epoch milliseconds."""
    assert _decode(user_id="u", image_base64=TEXT, **{name: value}).submitted_at == instant


def test_an_instant_without_an_offset_is_utc_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker's own time zone does not matter."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "XYZ-5")
        time.tzset()
        record = _decode(user_id="u", image_base64=TEXT, submitted_at="2024-05-01T12:00:00")
    time.tzset()

    assert record.submitted_at == NOON


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("submitted_at", "0001-01-01T00:00:00+14:00"),
        ("submitted_at", ""),
        ("submitted_at", "1714564800000"),
        ("submitted_at", ["2024-05-01"]),
        ("timestamp", 10**30),
        ("timestamp", 1e300),
        ("timestamp", float("inf")),
        ("timestamp", float("nan")),
        ("timestamp", {}),
    ],
)
def test_invalid_instants_are_refused(name: str, value: object) -> None:
    """Other values, and instants outside the calendar, are refused; the error names the field."""
    with pytest.raises(InvalidEvent, match=f"^{name}: expected an ISO 8601 date and time"):
        _decode(user_id="u", image_base64=TEXT, **{name: value})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"deep": [1, float("-inf")]}])
def test_numbers_that_are_not_json_are_named(value: object) -> None:
    """NaN and Infinity in unknown fields and in metadata are refused; the error names the field."""
    with pytest.raises(InvalidEvent, match=r"^ratio: expected JSON with finite numbers"):
        _decode(user_id="u", image_base64=TEXT, ratio=value)
    with pytest.raises(InvalidEvent, match=r"^metadata\.ratio: expected JSON with finite numbers"):
        _decode(user_id="u", image_base64=TEXT, metadata={"ratio": value})


def test_metadata_depth_is_bounded() -> None:
    """Metadata must still be readable by any parser once copied into another record."""
    deepest = json.loads("[" * MAX_METADATA_DEPTH + "]" * MAX_METADATA_DEPTH)

    assert _decode(user_id="u", image_base64=TEXT, x=deepest).metadata == {"x": deepest}
    with pytest.raises(InvalidEvent, match=r"^x: .* found more than 100 levels$"):
        _decode(user_id="u", image_base64=TEXT, x=[deepest])


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        (str(EVENT_ID), True),
        (str(EVENT_ID).upper(), True),
        (EVENT_ID.hex, True),
        (f"urn:uuid:{EVENT_ID}", False),
        (f"{EVENT_ID} ", False),
        (EVENT_ID.hex[:30] + "_1", False),
    ],
)
def test_event_id_forms(text: str, accepted: bool) -> None:
    """A UUID is accepted in the canonical form and as 32 digits, and in no other."""
    if accepted:
        assert _decode(event_id=text, user_id="u", image_base64=TEXT).event_id == EVENT_ID
    else:
        with pytest.raises(InvalidEvent, match=r"^event_id: expected a UUID"):
            _decode(event_id=text, user_id="u", image_base64=TEXT)

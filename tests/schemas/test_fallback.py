"""simulated-fallback: headers describe the failure, the message does not change."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from schemas.fallback import (
    MAX_DETAIL_CHARACTERS,
    FallbackHeaders,
    FallbackReason,
    with_failure,
    without_failure,
)
from schemas.headers import Header

ORIGINAL: list[Header] = [
    ("content-type", b"image/png"),
    ("worker", b"the sender's own"),
    ("odd", b"\xff\x00"),
    ("twice", b"1"),
    ("twice", b"2"),
    ("null", None),
]


def make_failure(**fields: Any) -> FallbackHeaders:
    given: dict[str, Any] = {
        "fallback_reason": FallbackReason.NO_FACE,
        "fallback_detail": "no detection",
        "fallback_attempts": 1,
        "source_topic": "image-submitted",
        "source_partition": 2,
        "source_offset": 1041,
        "failed_at": datetime(2024, 5, 1, 12, tzinfo=UTC),
        "worker": "worker-1",
    }
    return FallbackHeaders(**(given | fields))


def test_headers_on_the_wire() -> None:
    """Each field is the text of the header of the same name, in a fixed order."""
    assert make_failure().to_headers() == [
        ("fallback_reason", b"no_face"),
        ("fallback_detail", b"no detection"),
        ("fallback_attempts", b"1"),
        ("source_topic", b"image-submitted"),
        ("source_partition", b"2"),
        ("source_offset", b"1041"),
        ("failed_at", b"2024-05-01T12:00:00Z"),
        ("worker", b"worker-1"),
    ]


def test_round_trip() -> None:
    """The failure can be read from among the sender's headers."""
    failure = make_failure(fallback_detail="naïve\n\x1b[31m\u202e \ud800")

    assert FallbackHeaders.from_headers(with_failure(ORIGINAL, failure)) == failure


def test_original_headers_are_untouched() -> None:
    """The sender's headers come first, unchanged.

    Order, duplicates, nulls, arbitrary bytes, and a header with the name of a failure header.
    """
    assert with_failure(ORIGINAL, make_failure()) == [*ORIGINAL, *make_failure().to_headers()]
    assert with_failure(None, make_failure()) == make_failure().to_headers()


def test_a_second_failure_replaces_the_first() -> None:
    """A re-driven event that fails again has one set of failure headers, the new one."""
    first = with_failure(ORIGINAL, make_failure())
    second = make_failure(fallback_reason=FallbackReason.CIRCUIT_OPEN, worker="worker-2")

    assert with_failure(first, second) == [*ORIGINAL, *second.to_headers()]


def test_headers_added_by_a_re_drive_are_kept() -> None:
    """Headers that a re-driving tool adds at the end count as the sender's."""
    added: Header = ("re-driven-by", b"operator")
    first = [*with_failure(ORIGINAL, make_failure()), added]

    assert with_failure(first, make_failure()) == [*ORIGINAL, added, *make_failure().to_headers()]


def test_without_failure_gives_the_original_back() -> None:
    """Also for a message that never failed, which does not change."""
    assert without_failure(with_failure(ORIGINAL, make_failure())) == ORIGINAL
    assert without_failure(ORIGINAL) == ORIGINAL
    assert without_failure(None) == []


def test_detail_is_bounded_and_printable() -> None:
    """A detail may quote the sender; it must not break a log or a terminal."""
    failure = make_failure(fallback_detail="\x00\n" * 1_000_000, worker="w\n" * 300)

    assert failure.fallback_detail.startswith("\\x00\\n")
    assert failure.fallback_detail.isprintable()
    assert len(failure.fallback_detail) == MAX_DETAIL_CHARACTERS
    assert len(failure.worker) == 256
    assert failure.worker.endswith("…")


def test_a_detail_of_the_greatest_length_is_unchanged() -> None:
    """Only longer ones are shortened."""
    text = "é" * MAX_DETAIL_CHARACTERS

    assert make_failure(fallback_detail=text).fallback_detail == text

"""simulated-fallback: the failure is in headers, the message stays as it was."""

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


def _failure(**fields: Any) -> FallbackHeaders:
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
    """Each field is the text of the header of its name, in a fixed order."""
    assert _failure().to_headers() == [
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
    """The failure can be read back from among the sender's headers."""
    failure = _failure(fallback_detail="naïve\n\x1b[31m\u202e \ud800")

    assert FallbackHeaders.from_headers(with_failure(ORIGINAL, failure)) == failure


def test_original_headers_are_untouched() -> None:
    """The sender's headers come first, as they were: order, doubles, nulls, odd bytes, and one
    that has the name of one of ours."""
    assert with_failure(ORIGINAL, _failure()) == [*ORIGINAL, *_failure().to_headers()]
    assert with_failure(None, _failure()) == _failure().to_headers()


def test_a_second_failure_replaces_the_first() -> None:
    """A re-driven event that fails again bears one set of failure headers, the new one."""
    first = with_failure(ORIGINAL, _failure())
    second = _failure(fallback_reason=FallbackReason.CIRCUIT_OPEN, worker="worker-2")

    assert with_failure(first, second) == [*ORIGINAL, *second.to_headers()]


def test_headers_added_by_a_re_drive_are_kept() -> None:
    """What a re-driving tool adds behind our headers is the sender's from then on."""
    added: Header = ("re-driven-by", b"operator")
    first = [*with_failure(ORIGINAL, _failure()), added]

    assert with_failure(first, _failure()) == [*ORIGINAL, added, *_failure().to_headers()]


def test_without_failure_gives_the_original_back() -> None:
    """Re-drive is produce-it-back: the headers of before, also for a message that never failed."""
    assert without_failure(with_failure(ORIGINAL, _failure())) == ORIGINAL
    assert without_failure(ORIGINAL) == ORIGINAL
    assert without_failure(None) == []


def test_detail_is_bounded_and_printable() -> None:
    """A detail may quote what a sender wrote; it must not break a log or a terminal."""
    failure = _failure(fallback_detail="\x00\n" * 1_000_000, worker="w\n" * 300)

    assert failure.fallback_detail.startswith("\\x00\\n")
    assert failure.fallback_detail.isprintable()
    assert len(failure.fallback_detail) == MAX_DETAIL_CHARACTERS
    assert len(failure.worker) == 256
    assert failure.worker.endswith("…")


def test_detail_that_fits_is_kept_as_it_is() -> None:
    """Shortening starts only beyond the limit."""
    text = "é" * MAX_DETAIL_CHARACTERS

    assert _failure(fallback_detail=text).fallback_detail == text

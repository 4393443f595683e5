"""Dead letters: the event's bytes, with the failure in additional headers."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from schemas.fallback import FallbackHeaders, FallbackReason, without_failure
from streams.dead_letters import LARGEST_KEPT_KEY, Failure, fallback_message, without_value
from tests.fakes import incoming

FAILURE = Failure(FallbackReason.NO_FACE, "no face in 64 x 64 pixels", attempts=1)


@pytest.mark.parametrize("value", [b"\x00\xff\xfe", b"", b'{"user_id": 1}'])
@pytest.mark.parametrize("key", [None, b"", b"\xff"])
def test_key_and_value_are_unchanged(key: bytes | None, value: bytes) -> None:
    """Producing them to the source topic again repeats the event."""
    letter = fallback_message(incoming(value, key=key), FAILURE, "simulated-fallback")
    assert (letter.topic, letter.key, letter.value) == ("simulated-fallback", key, value)


def test_a_missing_value_stays_missing() -> None:
    """A tombstone differs from an empty value."""
    assert fallback_message(incoming(None, key=b"k"), FAILURE, "t").value is None


def test_a_record_with_neither_key_nor_value_gets_an_empty_value() -> None:
    """aiokafka refuses to produce such a record, which would block the partition."""
    letter = fallback_message(incoming(None, key=None), FAILURE, "t")
    assert (letter.key, letter.value) == (None, b"")


def test_the_headers_have_reason_source_and_time() -> None:
    """Every Kafka tool can show headers."""
    letter = fallback_message(incoming(partition=3, offset=41), FAILURE, "t")
    failure = FallbackHeaders.from_headers(letter.headers)
    assert failure.fallback_reason is FallbackReason.NO_FACE
    assert failure.fallback_detail == "no face in 64 x 64 pixels"
    assert failure.fallback_attempts == 1
    assert failure.source_topic == "image-submitted"
    assert (failure.source_partition, failure.source_offset) == (3, 41)
    assert abs(failure.failed_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert failure.worker


def test_the_senders_headers_stay_first_and_in_order() -> None:
    """Repeated names and null values are kept."""
    own = (("a", b"1"), ("a", b"2"), ("b", None))
    letter = fallback_message(incoming(headers=own), FAILURE, "t")
    assert tuple(letter.headers[:3]) == own


def test_the_headers_of_an_earlier_failure_are_replaced() -> None:
    """A re-driven event that fails again has one failure and its own headers."""
    own = (("traceparent", b"x"),)
    first = fallback_message(incoming(headers=own), FAILURE, "t")
    again = incoming(headers=tuple(first.headers), offset=99)
    second = fallback_message(again, Failure(FallbackReason.INFERENCE_TIMEOUT, "slow", 3), "t")
    names = [name for name, _ in second.headers]
    assert names.count("fallback_reason") == 1
    failure = FallbackHeaders.from_headers(second.headers)
    assert failure.fallback_reason is FallbackReason.INFERENCE_TIMEOUT
    assert failure.source_offset == 99
    assert tuple(without_failure(second.headers)) == own


@pytest.mark.parametrize("size", [0, LARGEST_KEPT_KEY, LARGEST_KEPT_KEY + 1, 300_000])
def test_a_dead_letter_without_value_names_the_sizes_that_it_omits(size: int) -> None:
    """It omits the value, the sender's headers, and a key that is too large itself."""
    key = b"\xff" * size
    event = incoming(b"x" * 5000, key=key, headers=(("large", b"x" * 300_000),))
    letter = without_value(fallback_message(event, FAILURE, "t"), event)
    failure = FallbackHeaders.from_headers(letter.headers)
    assert letter.size < 4096
    assert letter.value == b""
    assert "event of 5000 bytes" in failure.fallback_detail
    assert FAILURE.detail in failure.fallback_detail
    assert (failure.source_partition, failure.source_offset) == (event.partition, event.offset)
    large = size > LARGEST_KEPT_KEY
    assert letter.key == (None if large else key)
    assert (f"key of {size} bytes" in failure.fallback_detail) == large
    assert (hashlib.sha256(key).hexdigest() in failure.fallback_detail) == large


def test_a_failure_has_zero_attempts_by_default() -> None:
    """An invalid event was never attempted."""
    letter = fallback_message(incoming(), Failure(FallbackReason.INVALID_EVENT, ""), "t")
    assert FallbackHeaders.from_headers(letter.headers).fallback_attempts == 0

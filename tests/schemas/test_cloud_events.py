"""CloudEvents headers of outputs, and propagation of the trace."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest

from schemas.cloud_events import output_headers
from schemas.headers import Header, Headers

ID = UUID("14d3ea39-645b-599a-a927-6da4f3e52f96")
TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def _output(incoming: Headers, time: datetime = NOON) -> list[tuple[str, bytes]]:
    return output_headers(
        incoming, id=ID, type="facestream.scored-face.v1", source="/facestream/w1", time=time
    )


def test_attributes() -> None:
    """The attributes of the Kafka binding, without those of the incoming message."""
    incoming: list[Header] = [("ce_id", b"theirs"), ("content-type", b"image/png")]

    assert _output(incoming) == [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"14d3ea39-645b-599a-a927-6da4f3e52f96"),
        ("ce_type", b"facestream.scored-face.v1"),
        ("ce_source", b"/facestream/w1"),
        ("ce_time", b"2024-05-01T12:00:00Z"),
        ("content-type", b"application/json"),
    ]
    assert _output(None) == _output(incoming)


def test_time_is_utc() -> None:
    """Another offset is converted; fractions of a second are kept."""
    time = datetime(2024, 5, 1, 14, 0, 0, 250_000, timezone(timedelta(hours=2)))

    assert ("ce_time", b"2024-05-01T12:00:00.250000Z") in _output(None, time)


def test_the_trace_is_propagated() -> None:
    """Both trace headers reach the output, whatever the case of their names."""
    incoming: list[Header] = [("Traceparent", TRACE), ("tracestate", b"vendor=1"), ("odd", b"\xff")]

    assert _output(incoming)[-2:] == [("traceparent", TRACE), ("tracestate", b"vendor=1")]


@pytest.mark.parametrize(("length", "carried"), [(512, True), (513, False), (300_000, False)])
def test_a_long_tracestate_is_dropped(length: int, carried: bool) -> None:
    """Trace Context requires only 512 characters, and an answer must fit its topic."""
    state = b"a=" + b"x" * (length - 2)
    found = _output([("traceparent", TRACE), ("tracestate", state)])

    assert ("traceparent", TRACE) in found
    assert (("tracestate", state) in found) == carried


def test_a_newer_traceparent_is_propagated() -> None:
    """Later versions may have more fields after the flags."""
    newer = b"01" + TRACE[2:] + b"-more"

    assert ("traceparent", newer) in _output([("traceparent", newer)])


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"\xff" * 55,
        TRACE.upper(),
        TRACE + b"-more",
        TRACE + b"\n",
        b"ff" + TRACE[2:],
        b"00-" + b"0" * 32 + TRACE[35:],
        TRACE[:36] + b"0" * 16 + b"-01",
    ],
)
def test_a_malformed_trace_is_dropped(value: bytes | None) -> None:
    """Trace Context requires that a malformed traceparent is ignored, with its tracestate."""
    incoming: list[Header] = [("traceparent", value), ("tracestate", b"vendor=1")]

    assert _output(incoming) == _output(None)

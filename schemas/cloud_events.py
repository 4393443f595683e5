"""CloudEvents' Kafka binding (binary mode) and W3C Trace Context in record headers.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md
https://www.w3.org/TR/trace-context/
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from uuid import UUID

from schemas.headers import Headers, last_value_any_case

SPEC_VERSION = b"1.0"

_TRACEPARENT = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.{0,256})?"
)
_LONGEST_STATE = 512  # characters that must be propagated; a longer tracestate may be dropped
_VERSION_0_LENGTH = 55  # a traceparent of version 00 ends with its flags


def traceparent(headers: Headers) -> bytes | None:
    """Return the ``traceparent`` of a message; None when absent or malformed.

    Trace Context requires that a malformed one is ignored and not propagated.
    """
    value = last_value_any_case(headers, "traceparent")
    if value is None or not _TRACEPARENT.fullmatch(value):
        return None
    return None if value.startswith(b"00-") and len(value) != _VERSION_0_LENGTH else value


def output_headers(
    incoming: Headers,
    *,
    id: str | UUID,
    type: str,
    source: str,
    time: datetime,
) -> list[tuple[str, bytes]]:
    """Return the headers of an event that answers a message with the headers ``incoming``.

    The arguments are named like the attributes of CloudEvents. The headers are ``ce_specversion``,
    ``ce_id``, ``ce_type``, ``ce_source``, ``ce_time`` (UTC, RFC 3339) and ``content-type`` (the
    value is JSON). ``traceparent`` and ``tracestate`` are copied from the message, a
    ``tracestate`` only up to 512 characters. No other header is copied.
    """
    headers = [
        ("ce_specversion", SPEC_VERSION),
        ("ce_id", str(id).encode()),
        ("ce_type", type.encode()),
        ("ce_source", source.encode()),
        ("ce_time", time.astimezone(UTC).isoformat().replace("+00:00", "Z").encode()),
        ("content-type", b"application/json"),
    ]
    if trace := traceparent(incoming):
        headers.append(("traceparent", trace))
        state = last_value_any_case(incoming, "tracestate")
        if state and len(state) <= _LONGEST_STATE:
            headers.append(("tracestate", state))
    return headers

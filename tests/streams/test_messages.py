"""Messages as plain values."""

from __future__ import annotations

import pytest

from streams.messages import Incoming
from tests.fakes import fake_app


@pytest.mark.parametrize(
    ("sent", "told"), [(None, 0.0), (-0.001, 0.0), (-9e15, 0.0), (0.0, 0.0), (1.7e9, 1.7e9)]
)
def test_a_message_without_a_time_has_waited_for_no_time(sent: float | None, told: float) -> None:
    """Kafka's "no timestamp" would be half a century in the queue."""
    event = fake_app().event(0, 0, timestamp=sent)
    assert Incoming.from_event(event).timestamp == told

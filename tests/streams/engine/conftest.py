"""The embedded broker, for tests of Faust's real consumer and producer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streams.local.embedded_broker import EmbeddedBroker, free_port


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    """A running broker, one for each test module."""
    with EmbeddedBroker(free_port()) as running:
        yield running

"""A fake Qdrant server, and an index opened on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from streams.index.vector_index import VectorIndex
from tests.streams.index.fake_qdrant import FakeQdrant, running_qdrant


@pytest.fixture
def qdrant() -> Iterator[FakeQdrant]:
    """A server with the collection and the alias."""
    with running_qdrant() as fake:
        yield fake


@pytest.fixture
async def on_server(qdrant: FakeQdrant) -> AsyncIterator[VectorIndex]:
    """An index on that server."""
    index = await qdrant.open()
    yield index
    await index.close()

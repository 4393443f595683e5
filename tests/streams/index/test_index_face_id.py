"""The index's own, fast way to the ids that the events name."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.scored_face import face_id_of
from streams.index.indexer import index_face_id


@given(st.uuids(), st.integers(0, 63))
def test_it_is_the_records_face_id(event_id: UUID, face_index: int) -> None:
    """The index finds what the events name."""
    assert index_face_id(str(event_id), face_index) == str(face_id_of(event_id, face_index))


def test_an_event_id_that_is_no_uuid_is_refused() -> None:
    """As the record's own function would."""
    with pytest.raises(ValueError, match="hexadecimal"):
        index_face_id("nobody", 0)

"""Batches of changes, in memory: however they are cut and repeated, they end in the same state."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.index.batch_plan import plan_batch
from streams.index.points import FacePoint, GoneFaces
from tests.streams.index.examples import A, B, face, face_id

Stored = dict[tuple[str, str], FacePoint]  # (collection, face_id) → point


def carry_out(changes: Sequence[FacePoint | GoneFaces], stored: Stored) -> Stored:
    """Carry out a plan as the index does, on a dictionary."""
    plan = plan_batch(changes)
    stored = dict(stored)
    for collection in {*plan.upserts, *(name for name, _ in stored if plan.gone)}:
        first = plan.first_look(collection)
        known = {event for face_id, event in first.items() if (collection, face_id) in stored}
        for point in plan.upserts.get(collection, ()):
            stored[collection, point.face_id] = point
        for left_over in plan.left_overs(collection, known):
            stored.pop((collection, left_over), None)
    return stored


def test_an_event_that_shrinks_and_grows_within_a_batch_loses_its_old_points() -> None:
    """Two faces, then one, then two again, the second of which is not there yet."""
    history = [face(A, 1, 2), face(A, 0, 1), face(A, 0, 2)]
    stored = carry_out(history, carry_out(history[:1], {}))
    assert set(stored) == {("faces-sface-3", face_id(A, 0))}


@st.composite
def changes(draw: st.DrawFn) -> FacePoint | GoneFaces:
    event_id = draw(st.sampled_from([A, B]))
    if draw(st.integers(0, 4)) == 0:
        return GoneFaces(event_id)
    count = draw(st.integers(1, 4))
    return face(
        event_id,
        draw(st.integers(0, count - 1)),
        count,
        user=draw(st.sampled_from(["ann", "bob"])),
        embedder=draw(st.sampled_from(["sface", "arcface"])),
    )


@settings(deadline=None)  # a busy machine would miss any deadline
@given(st.lists(changes(), max_size=12), st.data())
def test_a_batch_ends_in_the_same_state_as_its_changes_one_by_one(
    sequence: list[FacePoint | GoneFaces], data: st.DataObject
) -> None:
    """Any cut into batches, and any repeat from an earlier point on, gives the same points."""
    one_by_one: Stored = {}
    for change in sequence:
        one_by_one = carry_out([change], one_by_one)
    at = data.draw(st.integers(0, len(sequence)))
    redone_from = data.draw(st.integers(0, at))
    in_batches = carry_out(sequence[:at], {})
    in_batches = carry_out(sequence[redone_from:], in_batches)
    assert in_batches == one_by_one

"""Batches of changes, in memory: however they are cut and repeated, the end is the same."""

import uuid
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.index.points import FacePoint, GoneFaces, plan_batch

Stored = dict[tuple[str, str], FacePoint]  # (collection, face_id) → point

EVENTS = [str(uuid.UUID(int=number)) for number in (1, 2)]


def face_id_of(event_id: str, index: int) -> str:
    return str(uuid.uuid5(uuid.UUID(event_id), str(index)))


def carry_out(changes: Sequence[FacePoint | GoneFaces], stored: Stored) -> Stored:
    """What the index does with a plan, on a dictionary."""
    plan = plan_batch(changes, face_id_of)
    stored = dict(stored)
    for collection in {*plan.upserts, *(name for name, _ in stored if plan.gone)}:
        first = plan.first_look(collection)
        known = {event for face_id, event in first.items() if (collection, face_id) in stored}
        for point in plan.upserts.get(collection, ()):
            stored[collection, point.face_id] = point
        for face_id in plan.left_overs(collection, known):
            stored.pop((collection, face_id), None)
    return stored


def face(index: int, count: int) -> FacePoint:
    event_id = EVENTS[0]
    return FacePoint(face_id_of(event_id, index), event_id, "ann", index, count, (1.0,), "sface")


def test_an_event_that_shrinks_and_grows_within_a_batch_loses_what_it_had_before() -> None:
    """Two faces, then one, then two again of which one has come so far: the old second goes."""
    history = [face(1, 2), face(0, 1), face(0, 2)]
    stored = carry_out(history, carry_out(history[:1], {}))
    assert set(stored) == {("faces-sface-1", face_id_of(EVENTS[0], 0))}


@st.composite
def changes(draw: st.DrawFn) -> FacePoint | GoneFaces:
    event_id = draw(st.sampled_from(EVENTS))
    if draw(st.integers(0, 4)) == 0:
        return GoneFaces(event_id)
    count = draw(st.integers(1, 4))
    index = draw(st.integers(0, count - 1))
    return FacePoint(
        face_id=face_id_of(event_id, index),
        event_id=event_id,
        user_id=draw(st.sampled_from(["ann", "bob"])),
        face_index=index,
        face_count=count,
        vector=(1.0,),
        embedder=draw(st.sampled_from(["sface", "arcface"])),
    )


@settings(deadline=None)  # on a busy machine time says nothing
@given(st.lists(changes(), max_size=12), st.data())
def test_a_batch_ends_as_its_changes_one_by_one(
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

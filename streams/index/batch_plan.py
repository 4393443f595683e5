"""The plan of a batch of changes: the points to write and the points to remove."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from schemas.scored_face import face_id_of
from streams.index.errors import IndexRejected
from streams.index.points import FacePoint, GoneFaces

MAX_FACES = 64
"""The most faces of one event; bounds the search for an event's left-over points."""

FIRST_LOOK = 4
"""Ids beyond an event's own faces that are always looked up; see ``BatchPlan``."""


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """The outcome of a batch of changes.

    ``upserts``: collection → the points to write. ``fewest``: collection → event → the smallest
    number of faces that the event had within the batch. ``gone``: the events without faces, which
    concern every collection.

    A point whose face index is not below the event's ``fewest`` is left over from an earlier
    delivery and is removed. Left-over points are looked up in two steps, because nearly every event
    is new to the index: first the ids of the event's own faces and ``FIRST_LOOK`` more; only when
    one of these exists, all ids that the event may have.

    The first look misses a left-over point with a higher index when its event has no point below
    that. That takes three faults in a row: the first faces of an event are not acknowledged, while
    one at least ``FIRST_LOOK`` after them is, and is indexed; the worker dies before it sends the
    others again; and the event, delivered again, now has too few faces for that point to be looked
    up. The point then stays in the index.
    """

    upserts: Mapping[str, Sequence[FacePoint]]
    fewest: Mapping[str, Mapping[str, int]]
    gone: Sequence[str]

    def first_look(self, collection: str) -> dict[str, str]:
        """Return the ids to look up first, and the event of each."""
        return {
            face_id: event_id
            for event_id, count in self._counts(collection).items()
            for face_id in _face_ids(event_id, range(min(count + FIRST_LOOK, MAX_FACES)))
        }

    def left_overs(self, collection: str, known: Collection[str]) -> list[str]:
        """Return the ids to remove, where they exist; ``known``: events that the index holds."""
        written = {point.face_id for point in self.upserts.get(collection, ())}
        return [
            face_id
            for event_id, count in self._counts(collection).items()
            if event_id in known
            for face_id in _face_ids(event_id, range(count, MAX_FACES))
            if face_id not in written
        ]

    def _counts(self, collection: str) -> Mapping[str, int]:
        return {**self.fewest.get(collection, {}), **dict.fromkeys(self.gone, 0)}


def plan_batch(changes: Iterable[FacePoint | GoneFaces]) -> BatchPlan:
    """Fold changes, oldest first, into the state they end in: later ones win.

    Raises ``IndexRejected`` for a change that contradicts itself.
    """
    state = _State()
    for change in changes:
        if isinstance(change, GoneFaces):
            state.remove(change)
        else:
            state.put(change)
    return state.plan()


class _State:
    """The events of a batch after the changes so far."""

    def __init__(self) -> None:
        # The key is (collection, event); the points of an event are by face index.
        self._points: dict[tuple[str, str], dict[int, FacePoint]] = {}
        self._fewest: dict[tuple[str, str], int] = {}
        self._gone: dict[str, None] = {}

    def put(self, point: FacePoint) -> None:
        _check_point(point)
        key = (point.collection, point.event_id)
        self._fewest[key] = min(point.face_count, self._fewest.get(key, MAX_FACES))
        points = self._points.setdefault(key, {})
        points[point.face_index] = point
        for index in [index for index in points if index >= point.face_count]:
            del points[index]

    def remove(self, event: GoneFaces) -> None:
        _check_event(event)
        self._gone[event.event_id] = None
        for key in [key for key in self._points if key[1] == event.event_id]:
            del self._points[key], self._fewest[key]

    def plan(self) -> BatchPlan:
        upserts: dict[str, list[FacePoint]] = {}
        fewest: dict[str, dict[str, int]] = {}
        for (collection, event_id), points in self._points.items():
            upserts.setdefault(collection, []).extend(points.values())
            fewest.setdefault(collection, {})[event_id] = self._fewest[collection, event_id]
        return BatchPlan(upserts, fewest, list(self._gone))


def _face_ids(event_id: str, indices: Iterable[int]) -> Iterator[str]:
    event = UUID(event_id)
    return (str(face_id_of(event, index)) for index in indices)


def _check_event(change: GoneFaces) -> None:
    try:
        UUID(change.event_id)
    except ValueError:
        raise IndexRejected(f"event {change.event_id!r}: the event_id is not a UUID") from None


def _check_point(point: FacePoint) -> None:
    name = f"face {point.face_index} of event {point.event_id!r}"
    if not 0 <= point.face_index < point.face_count <= MAX_FACES:
        raise IndexRejected(
            f"{name}: expected 0 <= face_index < face_count <= {MAX_FACES},"
            f" got face_count {point.face_count}"
        )
    if len(point.vector) != point.contract.embedding_size:
        raise IndexRejected(
            f"{name}: its vector has {len(point.vector)} numbers, expected"
            f" {point.contract.embedding_size}"
        )
    try:
        expected = face_id_of(UUID(point.event_id), point.face_index)
        matches = UUID(point.face_id) == expected
    except ValueError:
        raise IndexRejected(f"{name}: event_id or face_id is not a UUID") from None
    if not matches:
        raise IndexRejected(f"{name}: its face_id {point.face_id} should be {expected}")

"""What goes into the vector index and comes out, and how a batch of changes becomes requests."""

import re
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from streams.index.errors import IndexRejected
from streams.index.model_contract import ModelContract

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"
FaceIdOf = Callable[[str, int], str]
"""(event_id, face_index) → face_id, the same for ever: UUIDv5 of the two."""

MAX_FACES = 64  # no event has more; bounds the search for left-over points of an event
# Names become part of a collection's name, and so of a URL and, in local mode, of a folder.
_EMBEDDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class FacePoint:
    """One face of an event, ready to be indexed.

    `face_id`: UUID. `face_count`: how many faces the event has in all. `vector`: the embedding,
    any length; `embedder` and that length choose the collection. `payload`: kept with the point,
    next to user_id, event_id, face_index, face_count and embedder, which win over equal names.
    `contract`: the models that made it, where the collection's must be the same.
    """

    face_id: str
    event_id: str
    user_id: str
    face_index: int
    face_count: int
    vector: Sequence[float]
    embedder: str
    payload: Mapping[str, JSON] = field(default_factory=dict)
    contract: ModelContract | None = None

    @property
    def collection(self) -> str:
        """The collection this point belongs to."""
        return collection_name(self.embedder, len(self.vector))

    def stored_payload(self) -> dict[str, JSON]:
        """The payload as it is stored."""
        return {
            **self.payload,
            "user_id": self.user_id,
            "event_id": self.event_id,
            "face_index": self.face_index,
            "face_count": self.face_count,
            "embedder": self.embedder,
        }


@dataclass(frozen=True, slots=True)
class GoneFaces:
    """An event that has no face (any more): its points leave every collection."""

    event_id: str


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A face near the one that was asked for; `similarity` is the cosine, in [-1, 1]."""

    face_id: str
    user_id: str
    event_id: str
    similarity: float
    payload: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class IndexedFace:
    """A face as the index holds it; `vector` is L2-normalised."""

    face_id: str
    user_id: str
    event_id: str
    vector: tuple[float, ...]
    payload: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class CollectionSummary:
    """A collection of ours: how many points, and which alias points at it, if any."""

    name: str
    points: int
    alias: str | None


def collection_name(embedder: str, embedding_size: int) -> str:
    """`faces-<embedder>-<size>`. Raises IndexRejected for a name that cannot be part of a URL."""
    if not _EMBEDDER.fullmatch(embedder):
        raise IndexRejected(
            f"embedder {embedder!r}: expected up to 100 letters, digits, dots, dashes, underscores"
        )
    return f"faces-{embedder}-{embedding_size}"


def finite_vector(vector: Sequence[float], what: str) -> list[float]:
    """The vector as float32 numbers. Raises IndexRejected, naming `what`, if one is not finite."""
    try:
        with np.errstate(over="ignore"):
            array = np.asarray(vector, dtype=np.float32)
    except (ValueError, TypeError):
        raise IndexRejected(f"{what}: the vector is not a list of numbers") from None
    if array.ndim != 1 or not array.size or not np.isfinite(array).all():
        raise IndexRejected(f"{what}: the vector is empty or holds numbers that are not finite")
    numbers: list[float] = array.tolist()
    return numbers


FIRST_LOOK = 4
"""How many ids beyond an event's own faces are always looked up; see `BatchPlan`."""


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """What a batch comes down to.

    `upserts`: collection → the points to write. `fewest`: collection → event → how many faces the
    event has come down to, at least for a while. `gone`: the events without any face, for every
    collection.

    Points beyond these numbers are left over from an earlier delivery and go. They are looked up
    in two steps, because nearly every event is new to the index: first the ids of the event's own
    faces and `FIRST_LOOK` more; only where one of them is there, all that an event may have. What
    that misses is a face that lies further behind than these, without any of them before it.
    Faces of an event are sent in order, but each is tried again by itself. So it takes three faults
    in a row: the first faces of an event are not acknowledged while one at least `FIRST_LOOK`
    behind them is, and is indexed; the worker dies before it sends the others again; and the event,
    which then comes again, has so few faces that the one behind is not looked up. It would be left
    as a stray point of its event.
    """

    upserts: Mapping[str, Sequence[FacePoint]]
    fewest: Mapping[str, Mapping[str, int]]
    gone: Sequence[str]
    face_id_of: FaceIdOf

    def first_look(self, collection: str) -> dict[str, str]:
        """The ids to look up first, and the event of each."""
        return {
            self.face_id_of(event_id, index): event_id
            for event_id, count in self._counts(collection).items()
            for index in range(min(count + FIRST_LOOK, MAX_FACES))
        }

    def left_overs(self, collection: str, known: Collection[str]) -> list[str]:
        """The ids to remove, where they are there, of the events that were `known` before."""
        written = {point.face_id for point in self.upserts.get(collection, ())}
        ids = [
            self.face_id_of(event_id, index)
            for event_id, count in self._counts(collection).items()
            if event_id in known
            for index in range(count, MAX_FACES)
        ]
        return [face_id for face_id in ids if face_id not in written]

    def _counts(self, collection: str) -> Mapping[str, int]:
        return {**self.fewest.get(collection, {}), **dict.fromkeys(self.gone, 0)}


def plan_batch(changes: Sequence[FacePoint | GoneFaces], face_id_of: FaceIdOf) -> BatchPlan:
    """Folds changes, oldest first, into the state they end in: later ones win.

    Raises IndexRejected for a point that contradicts itself.
    """
    faces: dict[tuple[str, str], dict[int, FacePoint]] = {}  # (collection, event) → index → point
    fewest: dict[tuple[str, str], int] = {}  # faces: what the batch ever shrank the event to
    gone: dict[str, None] = {}
    for change in changes:
        if isinstance(change, GoneFaces):
            _must_be_an_event(change, face_id_of)
            gone[change.event_id] = None
            for key in [key for key in faces if key[1] == change.event_id]:
                del faces[key], fewest[key]
            continue
        _must_be_consistent(change, face_id_of)
        key = (change.collection, change.event_id)
        fewest[key] = min(change.face_count, fewest.get(key, MAX_FACES))
        known = faces.setdefault(key, {})
        known[change.face_index] = change
        for index in [index for index in known if index >= change.face_count]:
            del known[index]
    upserts: dict[str, list[FacePoint]] = {}
    counts: dict[str, dict[str, int]] = {}
    for (collection, event_id), known in faces.items():
        upserts.setdefault(collection, []).extend(known.values())
        counts.setdefault(collection, {})[event_id] = fewest[collection, event_id]
    return BatchPlan(upserts, counts, list(gone), face_id_of)


def _must_be_an_event(change: GoneFaces, face_id_of: FaceIdOf) -> None:
    try:
        face_id_of(change.event_id, 0)
    except ValueError:
        raise IndexRejected(f"event {change.event_id!r}: the event_id is not a UUID") from None


def _must_be_consistent(point: FacePoint, face_id_of: FaceIdOf) -> None:
    name = f"face {point.face_index} of event {point.event_id!r}"
    if not 0 <= point.face_index < point.face_count <= MAX_FACES:
        raise IndexRejected(
            f"{name}: expected 0 <= face_index < face_count <= {MAX_FACES},"
            f" got face_count {point.face_count}"
        )
    try:
        expected = face_id_of(point.event_id, point.face_index)
        matches = point.face_id == expected or uuid.UUID(point.face_id) == uuid.UUID(expected)
    except ValueError:
        raise IndexRejected(f"{name}: event_id or face_id is not a UUID") from None
    if not matches:
        raise IndexRejected(f"{name}: its face_id {point.face_id} should be {expected}")

"""The points in Qdrant, synchronously: written, removed, searched, counted.

Like all modules of this package, it imports ``qdrant_client`` inside functions only: the import
takes about a second.
"""
# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from streams.index.batch_plan import plan_batch
from streams.index.connection import connect
from streams.index.error_translation import translated
from streams.index.errors import IndexRejected, IndexUnavailable
from streams.index.face_collections import FaceCollections
from streams.index.index_config import IndexConfig
from streams.index.local_commits import one_commit
from streams.index.model_contract import ModelContract
from streams.index.points import (
    JSON,
    FacePoint,
    GoneFaces,
    IndexedFace,
    Neighbour,
    finite_vector,
)

if TYPE_CHECKING:
    from qdrant_client.models import Filter, PointStruct

# A request stays far below Qdrant's 32 MB: 256 points of 512 numbers are about 3 MB of JSON.
_POINTS_A_REQUEST = 256
_IDS_A_REQUEST = 10_000


class QdrantStore:
    """One open client. An embedded index must be used by one thread at a time."""

    def __init__(self, config: IndexConfig) -> None:
        """Connect, and create or check the collection of the configured models.

        With ``read_only`` the collection must exist, and nothing is created or changed.
        """
        self._config = config
        self._client, self._folder = connect(config)
        try:
            self._collections = FaceCollections(self._client, config)
            with self._translated():
                if config.read_only:
                    self._collections.find()
                else:
                    self._collections.ensure(config.contract)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the client, then unlock the folder for other processes."""
        self._client.close()
        if self._folder is not None:
            self._folder.release()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Translate the client's exceptions; after an outage, check the collections again."""
        try:
            with translated(self._config.where):
                yield
        except IndexUnavailable:
            self._collections.forget()
            raise

    def apply(self, changes: Sequence[FacePoint | GoneFaces]) -> None:
        """Carry out a batch; see ``VectorIndex.apply``.

        Left-over points are looked up first and removed last. After a crash in between, the same
        call starts from the points that exist and ends in the same state.
        """
        plan = plan_batch(changes)
        # All vectors are checked before anything is written: a bad one rejects the whole batch.
        upserts = {
            name: [_struct(point) for point in points] for name, points in plan.upserts.items()
        }
        with self._translated():
            for name, points in plan.upserts.items():
                made_by = self._collections.ensure(points[0].contract)
                _check_contracts(made_by, name, points)
            for name in {*upserts, *(self._collections.names() if plan.gone else ())}:
                event_of = plan.first_look(name)
                known = {event_of[face_id] for face_id in self._present(name, list(event_of))}
                left_overs = self._present(name, plan.left_overs(name, known))
                self._change(name, upserts.get(name, []), left_overs)

    def _present(self, name: str, face_ids: Sequence[str]) -> list[str]:
        """Return those of the ids that the collection holds."""
        found: list[str] = []
        for start in range(0, len(face_ids), _IDS_A_REQUEST):
            ids = face_ids[start : start + _IDS_A_REQUEST]
            found += [str(at.id) for at in self._client.retrieve(name, ids, with_payload=False)]
        return found

    def _change(self, name: str, points: list[PointStruct], left_overs: list[str]) -> None:
        from qdrant_client.models import PointIdsList

        for start in range(0, len(points), _POINTS_A_REQUEST):
            with one_commit(self._client, name):
                self._client.upsert(name, points[start : start + _POINTS_A_REQUEST], wait=True)
        if left_overs:
            self._client.delete(name, PointIdsList(points=list(left_overs)), wait=True)

    def nearest(
        self, vector: Sequence[float], limit: int, exclude_event_id: str | None
    ) -> list[Neighbour]:
        """Return the nearest faces, without those of the excluded event."""
        query = finite_vector(vector, "the query")
        with self._translated():
            answer = self._client.query_points(
                self._collections.main,
                query=query,
                query_filter=None if exclude_event_id is None else _not_of(exclude_event_id),
                limit=limit,
                with_payload=True,
            )
        return [
            Neighbour(str(point.id), *_owner(point.payload), point.score) for point in answer.points
        ]

    def get(self, face_id: str) -> IndexedFace | None:
        """Return the face with this id, or None."""
        try:
            uuid.UUID(face_id)
        except ValueError:
            raise IndexRejected(f"face_id: expected a UUID, found {face_id!r}") from None
        with self._translated():
            found = self._client.retrieve(self._collections.main, [face_id], with_vectors=True)
        for point in found:
            vector = tuple(cast("list[float]", point.vector))
            return IndexedFace(str(point.id), *_owner(point.payload), vector, point.payload or {})
        return None

    def count(self) -> int:
        """Return the number of faces in the collection of the configured models."""
        with self._translated():
            return self._client.count(self._collections.main, exact=True).count

    def ping(self) -> None:
        """Raise ``IndexUnavailable`` if the collection cannot be reached."""
        with self._translated():
            if not self._client.collection_exists(self._collections.main):
                raise IndexUnavailable(f"{self._config.where}: {self._collections.main} is missing")


def _check_contracts(made_by: ModelContract | None, name: str, points: Sequence[FacePoint]) -> None:
    """Raise ``IndexRejected`` for a point of other models than the collection's."""
    for point in points:
        if point.contract != made_by:
            other = point.contract.differences(made_by) if made_by else "it does not say which"
            raise IndexRejected(
                f"face {point.face_id}: the collection {name} was made by other models ({other}); "
                "submit the picture again"
            )


def _struct(point: FacePoint) -> PointStruct:
    from qdrant_client.models import PointStruct

    vector = finite_vector(point.vector, f"face {point.face_id}")
    return PointStruct(id=point.face_id, vector=vector, payload=point.stored_payload())


def _not_of(event_id: str) -> Filter:
    from qdrant_client.models import FieldCondition, Filter, MatchValue

    condition = FieldCondition(key="event_id", match=MatchValue(value=event_id))
    return Filter(must_not=[condition])


def _owner(payload: Mapping[str, JSON] | None) -> tuple[str, str]:
    """Return user_id and event_id of a stored point."""
    return str((payload or {}).get("user_id", "")), str((payload or {}).get("event_id", ""))

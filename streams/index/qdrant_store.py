"""The points in Qdrant, synchronously: written, removed, searched, counted.

Only `vector_client`, `vector_collections`, `vector_refusals` and this module import qdrant_client,
inside their functions: it takes about a second to import.
"""
# ruff: noqa: PLC0415 - see above

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from streams.index.client import IndexConfig, connect, one_commit
from streams.index.collections import Collections
from streams.index.errors import IndexRejected, IndexUnavailable
from streams.index.model_contract import ModelContract
from streams.index.points import (
    JSON,
    CollectionSummary,
    FacePoint,
    GoneFaces,
    IndexedFace,
    Neighbour,
    finite_vector,
    plan_batch,
)
from streams.index.refusals import translated

if TYPE_CHECKING:
    from qdrant_client.models import Filter, PointStruct

# A request stays far below Qdrant's 32 MB: 256 points of 512 numbers are about 3 MB of JSON.
_POINTS_A_REQUEST = 256
_IDS_A_REQUEST = 10_000


class QdrantStore:
    """One open client. Not for use by several threads at once in local mode."""

    def __init__(self, config: IndexConfig) -> None:
        """Connects, and sees to the collection and the alias of the configured embedder.

        Read-only, it makes and moves nothing.
        """
        self._config = config
        self._client, self._folder = connect(config)
        self._collections = Collections(self._client, config)
        try:
            with self._translated():
                if config.read_only:
                    self._collections.find()
                else:
                    self._collections.ensure(
                        self._collections.main, config.embedding_size, config.contract
                    )
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Closes the client, then lets another process into the folder."""
        self._client.close()
        if self._folder is not None:
            self._folder.release()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turns the client's exceptions into our errors."""
        try:
            with translated(self._config.where):
                yield
        except IndexUnavailable:
            self._collections.forget()
            raise

    def collections(self) -> list[CollectionSummary]:
        """Every collection of ours."""
        with self._translated():
            return self._collections.summaries()

    def apply(self, changes: Sequence[FacePoint | GoneFaces]) -> None:
        """Carries out a batch; see `VectorIndex.apply`.

        Left-overs are looked up first and removed last. Whatever a crash in between leaves, the
        same call starts from the ids that are there and ends in the same state.
        """
        plan = plan_batch(changes, self._config.face_id_of)
        # All of them before anything is written: a bad vector rejects the batch untouched.
        upserts = {
            name: [_struct(point) for point in points] for name, points in plan.upserts.items()
        }
        with self._translated():
            for name, points in plan.upserts.items():
                first = points[0]
                made_by = self._collections.ensure(name, len(first.vector), first.contract)
                _must_be_made_by(made_by, name, points)
            for name in {*upserts, *(self._collections.names() if plan.gone else ())}:
                asked = plan.first_look(name)
                known = {asked[face_id] for face_id in self._present(name, list(asked))}
                left_overs = self._present(name, plan.left_overs(name, known))
                self._change(name, upserts.get(name, []), left_overs)

    def _present(self, name: str, face_ids: Sequence[str]) -> list[str]:
        """Those of the ids that the collection has."""
        found: list[str] = []
        for start in range(0, len(face_ids), _IDS_A_REQUEST):
            ids = face_ids[start : start + _IDS_A_REQUEST]
            found += [str(at.id) for at in self._client.retrieve(name, ids, with_payload=False)]
        return found

    def _change(self, name: str, points: list["PointStruct"], left_overs: list[str]) -> None:
        from qdrant_client.models import PointIdsList

        for start in range(0, len(points), _POINTS_A_REQUEST):
            with one_commit(self._client, name):
                self._client.upsert(name, points[start : start + _POINTS_A_REQUEST], wait=True)
        if left_overs:
            self._client.delete(name, PointIdsList(points=list(left_overs)), wait=True)

    def nearest(
        self,
        vector: Sequence[float],
        limit: int,
        exclude: Mapping[str, str],
        min_similarity: float | None,
    ) -> list[Neighbour]:
        """The nearest faces whose payload has none of the values in `exclude`."""
        query = finite_vector(vector, "the query")
        with self._translated():
            answer = self._client.query_points(
                self._collections.main,
                query=query,
                query_filter=_none_of(exclude),
                limit=limit,
                score_threshold=min_similarity,
                with_payload=True,
            )
        return [
            Neighbour(str(point.id), *_owner(point.payload), point.score, point.payload or {})
            for point in answer.points
        ]

    def get(self, face_id: str) -> IndexedFace | None:
        """The face with this id, if it is there."""
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
        """How many faces the collection of the configured embedder has."""
        with self._translated():
            return self._client.count(self._collections.main, exact=True).count

    def ping(self) -> None:
        """Raises IndexUnavailable if the collection cannot be reached."""
        with self._translated():
            if not self._client.collection_exists(self._collections.main):
                raise IndexUnavailable(f"{self._config.where}: {self._collections.main} is missing")


def _must_be_made_by(made_by: ModelContract | None, name: str, points: Sequence[FacePoint]) -> None:
    """Raises IndexRejected for a point of other models than the collection's."""
    for point in points:
        if point.contract is not None and point.contract != made_by:
            other = point.contract.differences(made_by) if made_by else "it does not say which"
            raise IndexRejected(
                f"face {point.face_id}: the collection {name} was made by other models ({other}); "
                "submit the picture again"
            )


def _struct(point: FacePoint) -> "PointStruct":
    from qdrant_client.models import PointStruct

    vector = finite_vector(point.vector, f"face {point.face_id}")
    return PointStruct(id=point.face_id, vector=vector, payload=point.stored_payload())


def _none_of(exclude: Mapping[str, str]) -> "Filter | None":
    from qdrant_client.models import FieldCondition, Filter, MatchValue

    conditions: list[Any] = [
        FieldCondition(key=key, match=MatchValue(value=value)) for key, value in exclude.items()
    ]
    return Filter(must_not=conditions) if conditions else None


def _owner(payload: Mapping[str, JSON] | None) -> tuple[str, str]:
    """(user_id, event_id) of a stored point."""
    return str((payload or {}).get("user_id", "")), str((payload or {}).get("event_id", ""))

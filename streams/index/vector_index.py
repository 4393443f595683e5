"""The vector index: the only door to Qdrant, a server or a local folder.

Each embedder has a collection of its own, `faces-<embedder>-<size>`, which is searched here. The
alias, for other clients, points at that of the worker that started last. Everything here is async;
the work is done in threads of its own, one for a local folder (sqlite and numpy there are not
thread-safe), a few for a server.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from streams.errors import ConfigurationError
from streams.index.client import IndexConfig
from streams.index.errors import (
    IndexBusy,
    IndexDamaged,
    IndexMismatch,
    IndexRejected,
    IndexUnavailable,
    VectorIndexError,
)
from streams.index.model_contract import ModelContract
from streams.index.points import (
    JSON,
    CollectionSummary,
    FaceIdOf,
    FacePoint,
    GoneFaces,
    IndexedFace,
    Neighbour,
)
from streams.index.qdrant_store import QdrantStore

__all__ = [
    "JSON",
    "CollectionSummary",
    "FaceIdOf",
    "FacePoint",
    "GoneFaces",
    "IndexBusy",
    "IndexDamaged",
    "IndexMismatch",
    "IndexRejected",
    "IndexUnavailable",
    "IndexedFace",
    "ModelContract",
    "Neighbour",
    "VectorIndex",
    "VectorIndexError",
]

P = ParamSpec("P")
T = TypeVar("T")

_SERVER_THREADS = 4


class VectorIndex:
    """Faces by their embeddings. Made by `open`; safe to share between tasks.

    Cancelling a call does not stop what its thread has begun; all calls may be repeated.
    """

    def __init__(self, threads: ThreadPoolExecutor, store: QdrantStore) -> None:
        self._threads = threads
        self._store = store
        self._closed = False

    @classmethod
    async def open(
        cls,
        *,
        url: str | None,
        api_key: str | None,
        path: Path | None,
        embedder: str,
        embedding_size: int,
        face_id_of: FaceIdOf,
        alias: str = "faces",
        timeout_s: float = 10,
        replication_factor: int | None = None,
        shard_number: int | None = None,
        contract: ModelContract | None = None,
        read_only: bool = False,
    ) -> "VectorIndex":
        """Opens the index, making collection and alias where they are missing.

        `read_only`: neither is made or changed, and a missing collection is an IndexMismatch.

        Exactly one of `url` (a server) and `path` (a local folder) is given. `timeout_s`: per
        request to a server, rounded up to whole seconds. `replication_factor`, `shard_number`:
        for new collections on a server; None leaves the choice to it. `face_id_of`: how face ids
        are derived, so that the left-overs of a re-scored event can be found. `contract`: the
        models at work here; a collection that others made is refused (IndexMismatch).

        Raises IndexUnavailable, IndexMismatch, IndexDamaged, IndexBusy or ConfigurationError.
        """
        if bool(url) == (path is not None):
            raise ConfigurationError("the index is either a server (url) or a folder (path)")
        config = IndexConfig(
            url=url,
            api_key=api_key,
            path=path,
            embedder=embedder,
            embedding_size=embedding_size,
            alias=alias,
            timeout_s=timeout_s,
            replication_factor=replication_factor,
            shard_number=shard_number,
            face_id_of=face_id_of,
            contract=contract,
            read_only=read_only,
        )
        threads = ThreadPoolExecutor(_SERVER_THREADS if url else 1, "vector-index")
        opening = threads.submit(QdrantStore, config)
        try:
            store = await asyncio.shield(asyncio.wrap_future(opening))
        except BaseException:
            opening.add_done_callback(_close_unwanted)
            threads.shutdown(wait=False)
            raise
        return cls(threads, store)

    async def _run(
        self, work: Callable[Concatenate[P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        if self._closed:
            raise RuntimeError("this VectorIndex is closed")
        return await asyncio.wrap_future(self._threads.submit(work, *args, **kwargs))

    async def apply(
        self, points: Sequence[FacePoint | GoneFaces], gone: Sequence[GoneFaces] = ()
    ) -> None:
        """Brings the index to the state that these changes describe; safe to repeat.

        `points`, oldest first: of the same face twice, the later wins; an event that has fewer
        faces than before loses the surplus; a GoneFaces may stand among them where its turn is.
        `gone`: events without any face, taken as later than all of `points`. Points of another
        embedder than the configured one go to a collection of their own.

        Returns when Qdrant has stored all of it. Raises IndexUnavailable (repeat the call),
        IndexRejected (some point can never be stored: halve the batch to find it), IndexMismatch.
        """
        if points or gone:
            await self._run(self._store.apply, (*points, *gone))

    async def nearest(
        self,
        vector: Sequence[float],
        *,
        limit: int,
        exclude_event_id: str | None = None,
        exclude_user_id: str | None = None,
        min_similarity: float | None = None,
    ) -> list[Neighbour]:
        """The `limit` faces with the highest cosine similarity, highest first.

        Faces of the excluded event and user are left out, and those under `min_similarity`.
        Raises IndexUnavailable; IndexRejected for a vector of another length.
        """
        exclude = {"event_id": exclude_event_id, "user_id": exclude_user_id}
        values = {key: value for key, value in exclude.items() if value is not None}
        return await self._run(self._store.nearest, vector, limit, values, min_similarity)

    async def get(self, face_id: str) -> IndexedFace | None:
        """The face with its vector, or None. Raises IndexUnavailable; IndexRejected for no UUID."""
        return await self._run(self._store.get, face_id)

    async def count(self) -> int:
        """How many faces the collection in use holds. Raises IndexUnavailable."""
        return await self._run(self._store.count)

    async def collections(self) -> list[CollectionSummary]:
        """Every collection of faces, by name. Raises IndexUnavailable."""
        return await self._run(self._store.collections)

    async def ping(self) -> None:
        """Returns if the index answers. Raises IndexUnavailable."""
        await self._run(self._store.ping)

    async def close(self) -> None:
        """Waits for what is under way, then closes. May be called twice."""
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._threads.shutdown(wait=True)
        self._store.close()


def _close_unwanted(opening: "Future[QdrantStore]") -> None:
    """Closes a store whose opener was cancelled; runs in the thread that opened it."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()

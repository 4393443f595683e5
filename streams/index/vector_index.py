"""The vector index as the rest of the program uses it: asynchronous, a server or a local folder.

Each embedder has its own collection, ``faces-<embedder>-<size>``. Searches go to the collection of
the configured models; the alias is for other clients. All work is done in threads of this package:
one for an embedded index, whose sqlite and numpy parts are not thread-safe, several for a server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Concatenate, ParamSpec, TypeVar

from streams.index.index_config import IndexConfig
from streams.index.points import FacePoint, GoneFaces, IndexedFace, Neighbour
from streams.index.qdrant_store import QdrantStore

P = ParamSpec("P")
T = TypeVar("T")

_SERVER_THREADS = 4


class VectorIndex:
    """The indexed faces, searched by embedding. Created by ``open``; tasks may share it.

    Cancelling a call does not stop the work that its thread has begun; every call may be repeated.
    """

    def __init__(self, threads: ThreadPoolExecutor, store: QdrantStore) -> None:
        self._threads = threads
        self._store = store
        self._closed = False

    @classmethod
    async def open(cls, config: IndexConfig) -> VectorIndex:
        """Open the index, and create collection and alias if they are missing.

        With ``read_only`` nothing is created or changed, and a missing collection is an
        ``IndexMismatch``. So is a collection that other models made.

        Raises ``IndexUnavailable``, ``IndexMismatch``, ``IndexDamaged``, ``IndexBusy``,
        ``IndexRejected`` or ``ConfigurationError``.
        """
        threads = ThreadPoolExecutor(_SERVER_THREADS if config.url else 1, "vector-index")
        opening = threads.submit(QdrantStore, config)
        try:
            store = await asyncio.shield(asyncio.wrap_future(opening))
        except BaseException:
            opening.add_done_callback(_close_unwanted)
            threads.shutdown(wait=False)
            raise
        return cls(threads, store)

    async def apply(self, changes: Sequence[FacePoint | GoneFaces]) -> None:
        """Bring the index to the state that these changes, oldest first, describe.

        Of two scores of the same face the later wins; an event with fewer faces than before loses
        the surplus. Points of other models than the configured ones go to the collection of those
        models. The call may be repeated.

        Returns when Qdrant has stored everything. Raises ``IndexUnavailable`` (repeat the call),
        ``IndexRejected`` (one of the changes can never be stored: split the batch to find it) or
        ``IndexMismatch``.
        """
        if changes:
            await self._run(self._store.apply, changes)

    async def nearest(
        self,
        vector: Sequence[float],
        *,
        limit: int,
        exclude_event_id: str | None = None,
    ) -> list[Neighbour]:
        """Return the ``limit`` faces with the highest cosine similarity, highest first.

        Leaves out the faces of the excluded event. Raises ``IndexUnavailable``; ``IndexRejected``
        for a vector of another length.
        """
        return await self._run(self._store.nearest, vector, limit, exclude_event_id)

    async def get(self, face_id: str) -> IndexedFace | None:
        """Return the face with its vector, or None.

        Raises ``IndexUnavailable``; ``IndexRejected`` for an id that is not a UUID.
        """
        return await self._run(self._store.get, face_id)

    async def count(self) -> int:
        """Return the number of faces in the collection in use. Raises ``IndexUnavailable``."""
        return await self._run(self._store.count)

    async def ping(self) -> None:
        """Return if the index answers. Raises ``IndexUnavailable`` otherwise."""
        await self._run(self._store.ping)

    async def close(self) -> None:
        """Wait for the work under way, then close. May be called twice."""
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._threads.shutdown(wait=True)
        self._store.close()

    async def _run(
        self, work: Callable[Concatenate[P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        if self._closed:
            raise RuntimeError("this VectorIndex is closed")
        return await asyncio.wrap_future(self._threads.submit(work, *args, **kwargs))


def _close_unwanted(opening: Future[QdrantStore]) -> None:
    """Close a store whose opener was cancelled; runs in the thread that opened it."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()

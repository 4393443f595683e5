"""One commit for each batch in an embedded index's sqlite file.

qdrant-client's local mode commits each point of a batch on its own, with disk flushes: 2 ms each.
The connection is a private member of the client. Where it is not found, for example after an
upgrade, the index is slower and just as correct.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qdrant_client import QdrantClient


def commit_in_batches(client: QdrantClient, collection: str) -> None:
    """Let a local collection commit and flush once for all that is written in ``one_commit``.

    A commit survives kill -9, and a power cut if the disk honours flushes.
    """
    stored = _stored(client, collection)
    connection = getattr(stored, "storage", None)
    if stored is not None and isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = ON")  # on macOS a plain flush stops at the drive
        stored.storage = _Batching(connection)


@contextmanager
def one_commit(client: QdrantClient, collection: str) -> Iterator[None]:
    """Commit all that the block writes to a local collection at its end, or nothing.

    Use it for upserts only: after a failure the client still has the points in memory, and a second
    try writes them again. A deleted point has gone from memory, so a second try would leave it in
    the file. Does nothing for a server.
    """
    stored = _stored(client, collection)
    connection = getattr(stored, "storage", None)
    if not isinstance(connection, _Batching):
        yield
        return
    # Rows of older client versions: the client forgets them once it has replaced them, so a
    # rollback restores the list.
    older = dict(stored._legacy_keys) if hasattr(stored, "_legacy_keys") else {}
    try:
        with connection.batch():
            yield
    except BaseException:
        if older:
            stored._legacy_keys = older
        raise


def _stored(client: QdrantClient, collection: str) -> Any:
    """Return the client's object for the file of a local collection; None for a server."""
    local = client._client if hasattr(client, "_client") else None
    return getattr(getattr(local, "collections", {}).get(collection), "storage", None)


class _Batching:
    """A connection whose ``with`` blocks leave the commit to the end of the batch around them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._in_batch = False

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Commit when the block ends, and roll back when it raises."""
        assert not self._in_batch, "an inner batch would commit the work of the outer one"
        self._in_batch = True
        try:
            with self._connection:
                yield
        finally:
            self._in_batch = False

    def __enter__(self) -> _Batching:
        if not self._in_batch:
            self._connection.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._in_batch:
            self._connection.__exit__(kind, error, traceback)

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)

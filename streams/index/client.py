"""Opens the Qdrant client: a server by URL, or a local folder that nobody else uses.

qdrant_client takes about a second to import, so it is imported where it is used, in the threads of
`vector_index`.
"""
# ruff: noqa: PLC0415 - see above

import math
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streams.config.urls import without_credentials
from streams.errors import ConfigurationError
from streams.index.errors import IndexBusy, IndexDamaged, IndexMismatch, IndexUnavailable
from streams.index.folder_lock import FolderLock
from streams.index.model_contract import ModelContract
from streams.index.points import FaceIdOf

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

REBUILD = "rebuild it by reading the topic scored-face from the beginning"


@dataclass(frozen=True, slots=True)
class IndexConfig:
    """Where the index is and which embedder it serves; see `VectorIndex.open`."""

    url: str | None
    api_key: str | None = field(repr=False)
    path: Path | None
    embedder: str
    embedding_size: int
    alias: str
    timeout_s: float
    replication_factor: int | None
    shard_number: int | None
    face_id_of: FaceIdOf = field(repr=False)
    contract: ModelContract | None = None
    read_only: bool = False

    @property
    def where(self) -> str:
        """The place, as messages name it."""
        if self.url:
            return f"Qdrant at {without_credentials(self.url)}"
        return f"the index folder {self.path}"


def connect(config: IndexConfig) -> "tuple[QdrantClient, FolderLock | None]":
    """The client, and for a local folder the lock to release after closing it.

    Raises IndexBusy, IndexDamaged, IndexMismatch, IndexUnavailable or ConfigurationError. A server
    is not asked anything yet.
    """
    if config.url:
        return _server(config), None
    if config.path is None:
        raise ConfigurationError("the index needs a server (QDRANT_URL) or a folder (QDRANT_PATH)")
    if config.read_only and not config.path.is_dir():
        raise IndexMismatch(f"{config.where} is not there")
    lock = FolderLock(config.path)
    try:
        return _folder(config), lock
    except BaseException:
        lock.release()
        raise


def _server(config: IndexConfig) -> "QdrantClient":
    from qdrant_client import QdrantClient

    try:
        return QdrantClient(
            url=config.url,
            api_key=config.api_key,
            timeout=math.ceil(config.timeout_s),  # it takes whole seconds only
            check_compatibility=False,  # it would ask in a thread of its own, and print
        )
    except ValueError as exc:
        raise ConfigurationError(f"QDRANT_URL: {config.where}: {exc}") from None


def _folder(config: IndexConfig) -> "QdrantClient":
    from qdrant_client import QdrantClient

    try:
        # The last to use it, at closing, is another thread than the one that does all the work.
        return QdrantClient(path=str(config.path), force_disable_check_same_thread=True)
    except (OSError, sqlite3.OperationalError) as exc:
        raise IndexUnavailable(f"{config.where} cannot be opened: {exc}") from exc
    except Exception as exc:
        if "already accessed" in str(exc):  # by a qdrant_client that is not ours
            raise IndexBusy(f"{config.where} is in use by another Qdrant client: stop it") from exc
        raise IndexDamaged(
            f"{config.where} is damaged ({type(exc).__name__}: {exc}): move it away, start again"
            f" with an empty one, and {REBUILD}"
        ) from exc


def commit_in_batches(client: "QdrantClient", collection: str) -> None:
    """Lets a local collection commit what is written in `one_commit` at once, and flush it once.

    Local mode commits each point of a batch on its own, with disk flushes: 2 ms apiece. What was
    committed outlives kill -9, and a power cut where the disk keeps its word. The connection is
    private to the client: where it is not found, the index is slower and just as right.
    """
    stored = _stored(client, collection)
    connection = getattr(stored, "storage", None)
    if stored is not None and isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = ON")  # macOS flushes no further than the disk else
        stored.storage = _Batching(connection)


@contextmanager
def one_commit(client: "QdrantClient", collection: str) -> Iterator[None]:
    """What the block writes into a local collection's file is committed at its end, or not at all.

    For points to be written: the client has them in memory all the same, where a second try writes
    them again. One that it has removed there, it would not find again. Does nothing for a server.
    """
    stored = _stored(client, collection)
    connection = getattr(stored, "storage", None)
    if not isinstance(connection, _Batching):
        yield
        return
    # Rows that older versions of the client wrote; it takes those that it has replaced for gone.
    older = dict(getattr(stored, "_legacy_keys", {}))
    try:
        with connection.batch():
            yield
    except BaseException:
        if older:
            stored._legacy_keys = older
        raise


def _stored(client: "QdrantClient", collection: str) -> Any:
    """The file of a local collection, if it is one, as the client has it."""
    local = getattr(client, "_client", None)
    return getattr(getattr(local, "collections", {}).get(collection), "storage", None)


class _Batching:
    """A connection whose `with` blocks, inside a batch, leave the commit to the batch's end."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._in_batch = False

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Commits when the block ends, and rolls back when it raises."""
        assert not self._in_batch, "the inner one would commit what is the outer one's"
        self._in_batch = True
        try:
            with self._connection:
                yield
        finally:
            self._in_batch = False

    def __enter__(self) -> "_Batching":
        if not self._in_batch:
            self._connection.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        if not self._in_batch:
            self._connection.__exit__(*raised)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

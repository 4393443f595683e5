"""Opens the Qdrant client: for a server by its URL, or for an embedded index in a folder.

``qdrant_client`` takes about a second to import, so it is imported inside functions that run in the
index's own threads.
"""
# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import math
import sqlite3
from typing import TYPE_CHECKING

from streams.errors import ConfigurationError
from streams.index.errors import IndexBusy, IndexDamaged, IndexMismatch, IndexUnavailable
from streams.index.folder_lock import FolderLock
from streams.index.index_config import IndexConfig

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

REBUILD = "rebuild it by reading the topic scored-face from the beginning"


def connect(config: IndexConfig) -> tuple[QdrantClient, FolderLock | None]:
    """Return the client and, for an embedded index, the lock to release after it is closed.

    No request is sent to a server yet. Raises ``IndexBusy``, ``IndexDamaged``, ``IndexMismatch``,
    ``IndexUnavailable`` or ``ConfigurationError``.
    """
    if config.url:
        return _server(config, config.url), None
    if config.read_only and not config.path.is_dir():
        raise IndexMismatch(f"{config.where} does not exist")
    lock = FolderLock(config.path)
    try:
        return _folder(config), lock
    except BaseException:
        lock.release()
        raise


def _server(config: IndexConfig, url: str) -> QdrantClient:
    from qdrant_client import QdrantClient

    try:
        return QdrantClient(
            url=url,
            api_key=config.api_key,
            timeout=math.ceil(config.timeout_s),  # the client accepts whole seconds only
            check_compatibility=False,  # the check would run in another thread, and print
        )
    except ValueError as exc:
        raise ConfigurationError(f"QDRANT_URL: {config.where}: {exc}") from None


def _folder(config: IndexConfig) -> QdrantClient:
    from qdrant_client import QdrantClient

    try:
        # One thread does all the work, but another one closes the client.
        return QdrantClient(path=str(config.path), force_disable_check_same_thread=True)
    except (OSError, sqlite3.OperationalError) as exc:
        raise IndexUnavailable(f"{config.where} cannot be opened: {exc}") from exc
    except Exception as exc:
        if "already accessed" in str(exc):  # by a client that does not take the folder lock
            raise IndexBusy(f"{config.where} is in use by another Qdrant client: stop it") from exc
        raise IndexDamaged(
            f"{config.where} is damaged ({type(exc).__name__}: {exc}): move it away, start again"
            f" with an empty one, and {REBUILD}"
        ) from exc

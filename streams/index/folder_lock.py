"""The lock on the folder of an embedded index: one process at a time.

qdrant-client has its own lock, but takes it only after it has read the whole index and written
the first file of a new folder. This lock is taken before that, and names the process that holds it.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from streams.index.errors import IndexBusy, IndexUnavailable

_LOCK_FILE = "in-use-by.pid"


class FolderLock:
    """A lock held from creation until ``release``, or until the process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        """Create the folder if it is missing, and lock it.

        Raises ``IndexBusy`` when another process holds the lock, ``IndexUnavailable`` when the
        folder cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(folder / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as exc:
            raise IndexUnavailable(f"the index folder {folder}: {exc.strerror}") from exc
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            owner = os.read(self._file, 20).decode("ascii", "replace").strip()
            os.close(self._file)
            if not isinstance(exc, BlockingIOError):
                raise IndexUnavailable(f"the index folder {folder}: {exc.strerror}") from exc
            raise IndexBusy(
                f"the index folder {folder} is in use by process {owner or '(unknown)'}: stop that"
                " process, choose another folder (QDRANT_PATH), or run a Qdrant server, which many"
                " processes can share (QDRANT_URL)"
            ) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Unlock the folder. The lock file stays: removing it would race with the next owner."""
        os.ftruncate(self._file, 0)
        os.close(self._file)

"""Pictures on disk, opened so that no link and no race leads out of the allowed folders."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from contextlib import ExitStack

from streams.pictures.errors import (
    FetchedImageTooLarge,
    ImageForbidden,
    ImageMissing,
    ImageUnavailable,
)
from streams.pictures.uri import ImageLocation

# Folders are only traversed, so on Linux search permission is enough; macOS has no O_PATH.
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: if a FIFO appears after the check, opening it must not wait for a writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CHUNK_BYTES = 1 << 20


def read_file(location: ImageLocation, roots: Sequence[str], max_bytes: int) -> bytes:
    """Read a regular file whose real path is one of ``roots``, or below one.

    Links are resolved first. The resolved path is then opened from the root, one component at a
    time and without following links, so a link created between the two steps is an error.

    Raises ``ImageForbidden``, ``ImageMissing``, ``FetchedImageTooLarge`` or ``ImageUnavailable``.
    """
    uri = location.uri
    try:
        return _read_within(location, roots, max_bytes)
    except FileNotFoundError:
        raise ImageMissing(uri, "no such file on this worker; is the folder mounted?") from None
    except PermissionError:
        raise ImageForbidden(uri, "this worker has no permission to read the file") from None
    except OSError as exc:
        if exc.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ENXIO):
            raise ImageMissing(uri, f"no file can be reached there ({exc.strerror})") from None
        raise ImageUnavailable(uri, f"reading failed: {exc.strerror or exc}") from exc


def _read_within(location: ImageLocation, roots: Sequence[str], max_bytes: int) -> bytes:
    real = os.path.realpath(location.path, strict=True)
    for root in map(os.path.realpath, roots):
        if real == root:
            folder, parts = os.path.split(root)[0], [os.path.split(root)[1]]
            break
        if real.startswith(root.rstrip("/") + "/"):
            folder, parts = root, os.path.relpath(real, root).split("/")
            break
    else:
        raise ImageForbidden(
            location.uri, "is a link to a place outside the folders that IMAGE_URI_ALLOW lists"
        )
    with ExitStack() as opened:
        at = os.open(folder, _FOLDER)
        opened.callback(os.close, at)
        for part in parts[:-1]:
            at = os.open(part, _FOLDER, dir_fd=at)
            opened.callback(os.close, at)
        # Checked before opening as well: opening a device can have side effects.
        _must_be_regular(location, os.stat(parts[-1], dir_fd=at, follow_symlinks=False))
        file = os.open(parts[-1], _FILE, dir_fd=at)
        opened.callback(os.close, file)
        status = os.fstat(file)
        _must_be_regular(location, status)
        if status.st_size > max_bytes:
            raise FetchedImageTooLarge(location.uri, status.st_size, max_bytes)
        return _read_all(location, file, max_bytes)


def _must_be_regular(location: ImageLocation, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ImageForbidden(location.uri, "is not a regular file (a folder, a pipe or a device)")


def _read_all(location: ImageLocation, file: int, max_bytes: int) -> bytes:
    data = bytearray()
    while len(data) <= max_bytes:
        chunk = os.read(file, min(_CHUNK_BYTES, max_bytes + 1 - len(data)))
        if not chunk:
            return bytes(data)
        data += chunk
    raise FetchedImageTooLarge(location.uri, len(data), max_bytes)

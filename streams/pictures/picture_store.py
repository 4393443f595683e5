"""The picture store: fetches the picture that an ``image_uri`` (a claim check) points to.

Only places listed in the settings are allowed. Files are read by ``file_fetch``, http(s) by
``http_fetch``, and every other scheme (s3, gs, abfs, memory …) by fsspec.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from streams.errors import ConfigurationError
from streams.pictures.errors import (
    FetchedImageTooLarge,
    ImageForbidden,
    ImageMissing,
    ImageTimeout,
    ImageUnavailable,
)
from streams.pictures.file_fetch import read_file
from streams.pictures.http_fetch import HttpImages, Resolve, system_resolve
from streams.pictures.uri import HTTP_PORTS, AllowedPrefix, ImageLocation, parse_location

# These schemes read another URI, which the allow-list would not see.
_WRAPPERS = frozenset(
    {"asyncwrapper", "blockcache", "cached", "dir", "filecache", "generic"}
    | {"libarchive", "reference", "simplecache", "tar", "zip"}
)
_THREADS = 4


class PictureStore:
    """Fetches pictures by URI, within an allow-list, a size and a time.

    ``allowed``: URI prefixes such as ``file:///var/pictures/``, ``s3://bucket/faces/``,
    ``https://cdn.example.com/faces/``, ``memory://``; empty allows no place. They are compared part
    by part, so ``/var/pictures`` does not allow ``/var/pictures-old``. ``max_bytes``: the largest
    picture. ``timeout_s``: the longest time of a fetch, in seconds, with its wait for a thread.
    ``resolve``: how host names become addresses.

    Raises ``ConfigurationError`` for an entry that can never work: no URI, a scheme that is unknown
    or whose package is not installed, or one that wraps other URIs.
    """

    def __init__(
        self,
        allowed: Sequence[str],
        max_bytes: int,
        timeout_s: float,
        *,
        resolve: Resolve = system_resolve,
    ) -> None:
        self._allowed = [AllowedPrefix.parse(entry) for entry in allowed]
        for scheme in {prefix.scheme for prefix in self._allowed}:
            _must_be_readable(scheme)
        self._roots = [prefix.path for prefix in self._allowed if prefix.scheme == "file"]
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._http = HttpImages(max_bytes, resolve)
        # Separate threads: a mount that hangs must not block the rest of the worker.
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="image-store")

    async def fetch(self, uri: str) -> bytes:
        """Return the picture's bytes, at most ``max_bytes`` of them.

        Raises ``ImageForbidden``, ``ImageMissing``, ``FetchedImageTooLarge``, or
        ``ImageUnavailable``, the only transient one.
        """
        location = parse_location(uri)
        if not any(prefix.covers(location) for prefix in self._allowed):
            raise ImageForbidden(uri, "is under no prefix of IMAGE_URI_ALLOW; add its folder there")
        try:
            async with asyncio.timeout(self._timeout_s):
                if location.scheme in HTTP_PORTS:
                    return await self._http.read(location)
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._pool, self._read, location)
        except TimeoutError:
            raise ImageTimeout(uri, f"did not arrive within {self._timeout_s:g} s") from None

    def _read(self, location: ImageLocation) -> bytes:
        if location.scheme == "file":
            return read_file(location, self._roots, self._max_bytes)
        return _read_with_fsspec(location, self._max_bytes)

    async def close(self) -> None:
        """Close connections and let the threads end, without waiting for one that hangs."""
        await self._http.close()
        self._pool.shutdown(wait=False, cancel_futures=True)


def _read_with_fsspec(location: ImageLocation, max_bytes: int) -> bytes:
    uri = location.uri
    # Built from the checked, decoded parts, so that the place compared is the place opened.
    target = f"{location.scheme}://{location.authority}{location.path}"
    try:
        file_system, path = _fsspec().url_to_fs(target)
        # cache_type none: the default caches read up to 50 MB ahead.
        with file_system.open(path, "rb", cache_type="none") as file:
            data: bytes = file.read(max_bytes + 1)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise ImageMissing(uri, "no such object") from None
    except PermissionError:
        raise ImageForbidden(uri, "the store refuses access to this worker") from None
    except Exception as exc:  # fsspec's back ends raise errors of many libraries
        raise ImageUnavailable(uri, f"reading failed ({type(exc).__name__})") from exc
    if len(data) > max_bytes:
        raise FetchedImageTooLarge(uri, len(data), max_bytes)
    return data


def _must_be_readable(scheme: str) -> None:
    if scheme == "file" or scheme in HTTP_PORTS:
        return
    if scheme in _WRAPPERS:
        raise ConfigurationError(
            f"IMAGE_URI_ALLOW: {scheme!r} reads other URIs in turn; list those"
        )
    try:
        _fsspec().get_filesystem_class(scheme)
    except (ImportError, ValueError) as exc:
        raise ConfigurationError(f"IMAGE_URI_ALLOW: {scheme!r} cannot be read: {exc}") from exc


def _fsspec() -> Any:
    """Import fsspec at its first use: most workers read no claim checks through it."""
    return importlib.import_module("fsspec")

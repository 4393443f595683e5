"""Errors of the vector index."""

from __future__ import annotations

from streams.errors import StreamsError


class VectorIndexError(StreamsError):
    """The root of the index's errors. Only ``IndexUnavailable`` is worth a retry."""


class IndexUnavailable(VectorIndexError):
    """The index cannot serve this now: unreachable, slow, overloaded, disk full, key not accepted.

    The call may be repeated without limit and loses nothing. ``retry_after_s`` is the pause that
    the server asked for.
    """

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(reason)


class IndexRejected(VectorIndexError):
    """The request can never succeed as it is. One bad point rejects its whole batch."""


class IndexMismatch(VectorIndexError):
    """This worker cannot use what is stored; the message says how to proceed."""


class IndexDamaged(IndexMismatch):
    """The folder of an embedded index cannot be read."""


class IndexBusy(VectorIndexError):
    """Another process uses the folder of an embedded index."""

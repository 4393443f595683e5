"""What can go wrong at the vector index."""

from typing import ClassVar

from streams.errors import StreamsError


class VectorIndexError(StreamsError):
    """The root of these errors. `transient` says whether the same call may succeed later."""

    transient: ClassVar[bool] = False


class IndexUnavailable(VectorIndexError):
    """The index cannot now: away, too slow, overloaded, its disk full, or it does not know our key.

    Nothing is lost by trying again, for ever if need be. `retry_after_s` is the server's own wish.
    """

    transient = True

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(reason)


class IndexRejected(VectorIndexError):
    """The request can never succeed as it is. One bad point rejects its whole batch."""


class IndexMismatch(VectorIndexError):
    """What is stored is not what this worker can use; the message names the way out."""


class IndexDamaged(IndexMismatch):
    """The folder of a local index cannot be read."""


class IndexBusy(VectorIndexError):
    """The folder of a local index is in use by another process."""

"""Errors of fetching the picture behind a claim check (``image_uri``)."""

from __future__ import annotations

import re

from streams.errors import StreamsError

_LONGEST_SHOWN = 200
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*:)?/*")


def redacted(uri: str) -> str:
    """Return the URI as a log may show it: no credentials, no query, printable, 200 characters.

    The whole query is left out because signed links carry their secret in it. A refused URI may be
    malformed, so any text between a colon and an @ is treated as a password.
    """
    text, *secrets = re.split(r"[?#]", _without_credentials(uri), maxsplit=1)
    text += "?***" if secrets else ""
    if len(text) > _LONGEST_SHOWN:
        text = text[:_LONGEST_SHOWN] + "…"
    return text.encode("unicode_escape").decode("ascii") if not text.isprintable() else text


def _without_credentials(uri: str) -> str:
    scheme = _SCHEME.match(uri)
    start = scheme.end() if scheme else 0
    at = uri.rfind("@")
    if ":" not in uri[start : max(at, start)]:
        # No password. A user name, or a token used as one, ends where the path begins.
        at = start + re.split(r"[/?#]", uri[start:], maxsplit=1)[0].rfind("@")
    return f"{uri[:start]}***{uri[at:]}" if at >= start else uri


class ImageStoreError(StreamsError):
    """A picture could not be fetched. Only ``ImageUnavailable`` is worth a retry."""


class FetchFailed(ImageStoreError):
    """A fetch failed. ``uri`` is redacted."""

    def __init__(self, uri: str, reason: str) -> None:
        self.uri = redacted(uri)
        self.reason = reason
        super().__init__(f"{self.uri}: {reason}")


class ImageForbidden(FetchFailed):
    """The URI is not allowed here, or its place refuses this worker."""


class ImageMissing(FetchFailed):
    """The place has no such picture."""


class ImageUnavailable(FetchFailed):
    """The place did not answer, or cannot answer now. A retry may succeed."""


class ImageTimeout(ImageUnavailable):
    """The fetch took longer than ``ML_SERVICE_TIMEOUT``."""


class FetchedImageTooLarge(FetchFailed):
    """The picture is over the limit.

    ``size`` in bytes: as declared, or as read before the fetch ended (a lower bound). ``limit`` in
    bytes.
    """

    def __init__(self, uri: str, size: int, limit: int) -> None:
        self.size = size
        self.limit = limit
        super().__init__(
            uri,
            f"has at least {size:,} bytes, the limit is {limit:,} bytes; send a smaller picture",
        )

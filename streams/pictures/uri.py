"""Claim-check URIs: parsed strictly, and compared by their parts, never as strings.

Percent-encoding is decoded in every URI with a scheme. A bare path is taken literally.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from streams.errors import ConfigurationError
from streams.pictures.errors import ImageForbidden, redacted

HTTP_PORTS = {"http": 80, "https": 443}

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_HOST_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?")
# Forms of an IPv4 address other than dotted-quad (``127.1``, ``2130706433``). Libraries disagree
# about them, so they are refused.
_NUMERIC_HOST = re.compile(r"(0x[0-9a-f]*|[0-9.])+")
_MAX_DECODINGS = 5


@dataclass(frozen=True, slots=True)
class ImageLocation:
    """A parsed URI.

    ``scheme`` is lower-case, and ``file`` for a bare path and for fsspec's ``local``.
    ``authority`` is ``host:port`` for http(s), always with the port. For other schemes it is as
    written (a bucket), and empty for file and memory. ``segments`` are the decoded parts of the
    path.
    ``port``, ``raw_path`` and ``query`` are set for http(s) only.
    """

    uri: str
    scheme: str
    authority: str
    segments: tuple[str, ...]
    port: int = 0
    raw_path: str = ""
    query: str = ""

    @property
    def path(self) -> str:
        """The decoded path, absolute."""
        return "/" + "/".join(self.segments)


@dataclass(frozen=True, slots=True)
class AllowedPrefix:
    """One entry of the allow-list; covers a location part by part."""

    scheme: str
    authority: str
    segments: tuple[str, ...]

    @classmethod
    def parse(cls, entry: str) -> AllowedPrefix:
        """Parse an entry. Raises ``ConfigurationError`` if it cannot be a prefix."""
        try:
            location = parse_location(entry)
        except ImageForbidden as exc:
            raise ConfigurationError(f"IMAGE_URI_ALLOW: {exc.uri!r} {exc.reason}") from None
        if location.query:
            raise ConfigurationError(f"IMAGE_URI_ALLOW: {redacted(entry)!r} must not have a query")
        segments = location.segments
        if segments and not segments[-1]:
            segments = segments[:-1]  # ``…/faces/`` and ``…/faces`` allow the same
        return cls(location.scheme, location.authority, segments)

    @property
    def path(self) -> str:
        """The decoded path, absolute, without a closing slash."""
        return "/" + "/".join(self.segments)

    def covers(self, location: ImageLocation) -> bool:
        """Whether the location is this place, or below it."""
        whole_scheme = not self.authority and not self.segments
        return (
            self.scheme == location.scheme
            and (self.authority == location.authority or whole_scheme)
            and self.segments == location.segments[: len(self.segments)]
        )


def parse_location(uri: str) -> ImageLocation:
    """Parse a URI, or an absolute bare path.

    Raises ``ImageForbidden`` for a URI that is ambiguous or leaves its folder: ``..``, an encoded
    slash, backslashes, control characters, credentials, chained URLs, odd spellings of a host.
    """
    if not uri.strip() or uri != uri.strip():
        raise ImageForbidden(uri, "is empty or has spaces around it")
    if "\\" in uri or any(ord(ch) < 0x20 or 0x7F <= ord(ch) < 0xA0 for ch in uri):
        raise ImageForbidden(uri, "has a backslash or a control character")
    try:
        uri.encode()
    except UnicodeEncodeError:
        raise ImageForbidden(uri, "is not valid Unicode") from None
    if uri.startswith("/"):
        return ImageLocation(uri, "file", "", _checked(uri, uri.split("/"), skip_empty=True))
    match = _SCHEME.match(uri)
    if match is None:
        raise ImageForbidden(uri, "is neither a URI nor an absolute path")
    scheme = match[1].lower()
    if scheme == "local":
        scheme = "file"
    if scheme != "file" and not uri[match.end() :].startswith("//"):
        raise ImageForbidden(uri, f"has no '//' after '{scheme}:' (chained URLs are not allowed)")
    try:
        parts = urlsplit(uri)
    except ValueError:
        raise ImageForbidden(uri, "is not a valid URI") from None
    if scheme in HTTP_PORTS:
        return _http_location(uri, scheme, parts)
    return _other_location(uri, scheme, parts)


def _other_location(uri: str, scheme: str, parts: SplitResult) -> ImageLocation:
    if "?" in uri or "#" in uri:
        raise ImageForbidden(uri, "has a query or a fragment; write ? as %3F and # as %23")
    authority, path = parts.netloc, parts.path
    if ":" in authority.rpartition("@")[0]:
        raise ImageForbidden(uri, "carries a password; configure credentials at the worker")
    if scheme == "file":
        if authority not in ("", "localhost"):
            raise ImageForbidden(uri, "names a host; a file URI has three slashes")
        authority = ""
    elif scheme == "memory":  # it has no authority: memory://a/b is memory:///a/b
        authority, path = "", f"/{authority}{path}" if authority else path
    segments = _checked(uri, _decoded(uri, path), skip_empty=scheme in ("file", "memory"))
    if "::" in authority or any("::" in segment for segment in segments):
        raise ImageForbidden(uri, "is a chained URL, which is not allowed")
    return ImageLocation(uri, scheme, authority, segments)


def _http_location(uri: str, scheme: str, parts: SplitResult) -> ImageLocation:
    if "@" in parts.netloc:
        raise ImageForbidden(uri, "carries credentials; use a signed link instead")
    try:
        port = parts.port or HTTP_PORTS[scheme]
        host = _normal_host(parts.hostname or "")
    except ValueError:
        raise ImageForbidden(uri, "has no usable host name or port") from None
    if "::" in parts.path or "::" in parts.query:
        raise ImageForbidden(uri, "is a chained URL, which is not allowed")
    bracketed = f"[{host}]" if ":" in host else host
    return ImageLocation(
        uri,
        scheme,
        f"{bracketed}:{port}",
        _checked(uri, _decoded(uri, parts.path), skip_empty=False),
        port=port,
        raw_path=parts.path or "/",
        query=parts.query,
    )


def is_address(host: str) -> bool:
    """Whether a host is an IP address rather than a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _normal_host(host: str) -> str:
    """Return lower-case ASCII, and addresses in their shortest form. Raises ``ValueError``."""
    if is_address(host):
        return str(ipaddress.ip_address(host))
    name = host.encode("idna").decode("ascii").lower() if not host.isascii() else host
    if not _HOST_NAME.fullmatch(name) or _NUMERIC_HOST.fullmatch(name):
        raise ValueError(host)
    return name


def _decoded(uri: str, path: str) -> list[str]:
    try:
        return [unquote(part, errors="strict") for part in path.split("/")]
    except UnicodeDecodeError:
        raise ImageForbidden(uri, "has percent-encoding that is not UTF-8") from None


def _checked(uri: str, parts: Iterable[str], *, skip_empty: bool) -> tuple[str, ...]:
    """Drop the empty part before the first slash. Refuses parts that leave the folder."""
    _, *segments = parts
    for segment in segments:
        text = segment
        for _ in range(_MAX_DECODINGS):
            if text in (".", "..") or re.search(r"[/\\\x00-\x1f\x7f]", text):
                raise ImageForbidden(uri, "climbs out of its folder, or hides a / in its encoding")
            text = unquote(text)
    return tuple(segment for segment in segments if segment or not skip_empty)

"""Pictures over http(s), with aiohttp rather than fsspec.

fsspec's http file system follows redirects, resolves names itself and reads whole bodies. Here no
redirect is followed, the checked address is the one connected to (so DNS rebinding fails), no proxy
of the environment is used, and the body is read up to the limit, regardless of its headers.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from urllib.parse import quote

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from streams.errors import StreamsError
from streams.pictures.errors import (
    FetchedImageTooLarge,
    ImageForbidden,
    ImageMissing,
    ImageUnavailable,
)
from streams.pictures.uri import ImageLocation

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""(host, port) → its IP addresses as text; raises ``OSError`` if it has none."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: an IPv4 address in its last 32 bits
_TRY_AGAIN = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
_REFUSED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
_MAX_CONNECTIONS = 16
# All that a path or query may hold unescaped (RFC 3986), and % to avoid double escaping.
_URI_CHARACTERS = "%/?:@!$&'()*+,;=-._~"


class AddressRefused(StreamsError):
    """A host name resolves to addresses that pictures are never fetched from."""


async def system_resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host, from the operating system."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def is_public(address: str) -> bool:
    """Whether an IP address, and every address embedded in it, is on the public internet.

    False for loopback, private, link-local, shared, multicast, reserved and unspecified addresses.
    """
    return all(ip.is_global and not ip.is_multicast for ip in _seen_through(address))


def _seen_through(address: str) -> list[Address]:
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv4Address):
        return [ip]
    if ip.ipv4_mapped is not None:
        return [ip.ipv4_mapped]
    if ip.sixtofour is not None:
        return [ip, ip.sixtofour]
    if ip.teredo is not None:
        return [ip, *ip.teredo]
    if ip in _NAT64:
        return [ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)]
    return [ip]


class CheckedResolver(AbstractResolver):
    """Resolves names for aiohttp, to addresses it may connect to."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raise ``AddressRefused`` if no address is allowed, ``OSError`` if the name has none."""
        found = list(await self._resolve(host, port))
        if host == "localhost":  # only asked for when the allow-list says localhost
            usable = [at for at in found if ipaddress.ip_address(at).is_loopback]
        else:
            usable = [at for at in found if is_public(at)]
        if not usable:
            raise AddressRefused(host, found)
        return [
            ResolveResult(
                hostname=host,
                host=at,
                port=port,
                family=socket.AF_INET6 if ":" in at else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for at in usable
        ]

    async def close(self) -> None:
        """Do nothing: there is nothing to close."""


class HttpImages:
    """Fetches over http(s), with one connection pool that opens with the first picture."""

    def __init__(self, max_bytes: int, resolve: Resolve = system_resolve) -> None:
        self._max_bytes = max_bytes
        self._resolve = resolve
        self._session: aiohttp.ClientSession | None = None

    async def read(self, location: ImageLocation) -> bytes:
        """Return the body of a 200 answer. The caller bounds the time.

        Raises ``ImageForbidden``, ``ImageMissing``, ``FetchedImageTooLarge`` or
        ``ImageUnavailable``.
        """
        uri = location.uri
        try:
            async with self._open_session().get(
                _request_url(location),
                allow_redirects=False,
                headers={"Accept": "image/*, */*;q=0.5", "Accept-Encoding": "identity"},
            ) as response:
                _must_be_ok(uri, response.status)
                return await self._body(uri, response)
        except AddressRefused:
            raise ImageForbidden(
                uri,
                "its host name leads to a private, loopback or reserved address; to allow a server"
                " of your own, list it in IMAGE_URI_ALLOW by its IP address",
            ) from None
        except aiohttp.InvalidURL:
            raise ImageForbidden(uri, "is not a URL that can be requested") from None
        except (aiohttp.ClientError, OSError) as exc:
            # Only the kind of error: its text may repeat the URL and its secrets.
            raise ImageUnavailable(uri, f"the server did not answer ({_kind(exc)})") from exc

    async def _body(self, uri: str, response: aiohttp.ClientResponse) -> bytes:
        declared = response.content_length or 0
        if declared > self._max_bytes:
            response.close()
            raise FetchedImageTooLarge(uri, declared, self._max_bytes)
        data = bytearray()
        async for chunk in response.content.iter_any():
            data += chunk
            if len(data) > self._max_bytes:
                response.close()  # else aiohttp reads the rest to reuse the connection
                raise FetchedImageTooLarge(uri, len(data), self._max_bytes)
        return bytes(data)

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=CheckedResolver(self._resolve),
                    use_dns_cache=False,
                    limit=_MAX_CONNECTIONS,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                auto_decompress=False,  # a small answer must not unpack into a large one
                trust_env=False,  # a proxy would connect to addresses that were not checked
            )
        return self._session

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


def _request_url(location: ImageLocation) -> URL:
    """Build the URL from the checked parts, so that no second parser reads it differently."""
    path = quote(location.raw_path, safe=_URI_CHARACTERS)
    query = quote(location.query, safe=_URI_CHARACTERS)
    target = f"{path}?{query}" if query else path
    return URL(f"{location.scheme}://{location.authority}{target}", encoded=True)


def _must_be_ok(uri: str, status: int) -> None:
    if status == HTTPStatus.OK:
        return
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        raise ImageForbidden(
            uri, f"answers {status}; redirects are not followed, send the final address"
        )
    if status in _TRY_AGAIN or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise ImageUnavailable(uri, f"the server answered {status}")
    if status in _REFUSED:
        raise ImageForbidden(uri, f"the server answered {status}; has the link expired?")
    raise ImageMissing(uri, f"the server answered {status}")


def _kind(exc: BaseException) -> str:
    reason = exc.os_error.strerror if isinstance(exc, aiohttp.ClientConnectorError) else None
    return f"{type(exc).__name__}: {reason}" if reason else type(exc).__name__

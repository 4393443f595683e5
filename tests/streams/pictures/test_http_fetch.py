"""Fetching over HTTP, from a real local server with good, bad, slow and endless responses."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import pytest
from aiohttp import web

from streams.pictures.errors import (
    FetchedImageTooLarge,
    ImageForbidden,
    ImageMissing,
    ImageUnavailable,
)
from streams.pictures.http_fetch import is_public
from streams.pictures.picture_store import PictureStore

PICTURE = b"\xff\xd8 a picture"
LIMIT = 100_000


async def _raw(request: web.BaseRequest, answer: bytes) -> web.StreamResponse:
    """Write bytes to the socket as they are, valid or not, and close it."""
    transport = request.transport
    assert transport is not None
    transport.write(answer)
    transport.close()
    return web.Response()


async def _endless(request: web.BaseRequest) -> web.StreamResponse:
    """Respond with a body that never ends."""
    response = web.StreamResponse()
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        while True:
            await response.write(b"x" * 10_000)
    return response


async def _slow(_: web.BaseRequest) -> web.StreamResponse:
    """Never respond."""
    await asyncio.Event().wait()
    return web.Response()


RAW_ANSWERS = {
    "declares-too-much": b"HTTP/1.1 200 OK\r\ncontent-length: 100001\r\n\r\nx",
    "declares-more": b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nshort",
    "declares-less": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nshort" + b"x" * LIMIT,
    "no-http": b"SSH-2.0-OpenSSH\r\n",
    "redirect": b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/private\r\n\r\n",
}


async def _answer(request: web.BaseRequest) -> web.StreamResponse:
    name = request.path.removeprefix("/faces/")
    if name in ("ok.jpg", "a b.jpg"):
        return web.Response(body=PICTURE + request.rel_url.raw_query_string.encode())
    if name in RAW_ANSWERS:
        return await _raw(request, RAW_ANSWERS[name])
    if name == "slow":
        return await _slow(request)
    return await _endless(request) if name == "endless" else web.Response(status=int(name))


@dataclass(frozen=True)
class Server:
    """A running HTTP server and a store that fetches from it."""

    port: int
    store: PictureStore

    async def fetch(self, path: str) -> bytes:
        return await self.store.fetch(f"http://127.0.0.1:{self.port}/faces/{path}")


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A server on a free port, and a store that allows its ``/faces/``."""
    runner = web.ServerRunner(web.Server(_answer), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = int(runner.addresses[0][1])
    store = PictureStore([f"http://127.0.0.1:{port}/faces/"], max_bytes=LIMIT, timeout_s=10)
    yield Server(port, store)
    await store.close()
    await runner.cleanup()


async def test_an_allowed_url_is_fetched(server: Server) -> None:
    """The query and escaped characters reach the server unchanged."""
    assert await server.fetch("ok.jpg") == PICTURE
    assert await server.fetch("ok.jpg?sig=a%2Fb%3D#part") == PICTURE + b"sig=a%2Fb%3D"
    assert await server.fetch("a%20b.jpg") == PICTURE
    assert await server.fetch("a b.jpg") == PICTURE


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("404", ImageMissing),
        ("410", ImageMissing),
        ("400", ImageMissing),
        ("401", ImageForbidden),
        ("403", ImageForbidden),
        ("redirect", ImageForbidden),
        ("204", ImageMissing),
        ("408", ImageUnavailable),
        ("429", ImageUnavailable),
        ("500", ImageUnavailable),
        ("503", ImageUnavailable),
        ("declares-more", ImageUnavailable),
        ("no-http", ImageUnavailable),
        ("declares-too-much", FetchedImageTooLarge),
        ("endless", FetchedImageTooLarge),
    ],
)
async def test_each_failed_response_has_its_error(
    server: Server, path: str, error: type[Exception]
) -> None:
    """The class of the error decides on retries; redirects are not followed."""
    with pytest.raises(error, match=r"127\.0\.0\.1"):
        await server.fetch(path)


async def test_a_body_is_never_read_beyond_its_declared_length(server: Server) -> None:
    """The result is the declared part or an error, depending on aiohttp's parser."""
    try:
        body = await server.fetch("declares-less")
    except ImageUnavailable:
        return
    assert body == b"short"


async def test_a_slow_server_is_unavailable(server: Server) -> None:
    """A time-out is transient, and the message names its length."""
    store = PictureStore([f"http://127.0.0.1:{server.port}/"], max_bytes=LIMIT, timeout_s=0.1)
    with pytest.raises(ImageUnavailable, match=r"0\.1 s") as caught:
        await store.fetch(f"http://127.0.0.1:{server.port}/faces/slow")
    assert isinstance(caught.value, ImageUnavailable)
    await store.close()


async def test_a_refused_connection_is_unavailable() -> None:
    """The server may come back."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        base = f"http://127.0.0.1:{free.getsockname()[1]}/"
    store = PictureStore([base], max_bytes=LIMIT, timeout_s=5)
    with pytest.raises(ImageUnavailable, match="did not answer"):
        await store.fetch(f"{base}a.jpg?sig=hunter2")
    await store.close()


class FakeNames:
    """A fake of DNS that records the names it is asked for."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(f"{host}:{port}")
        if not self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "unknown name")
        return self.addresses


@pytest.mark.parametrize(
    "addresses", [("127.0.0.1",), ("10.0.0.8", "::1"), ("::ffff:127.0.0.1",), ("169.254.169.254",)]
)
async def test_a_name_with_a_private_address_is_forbidden(
    server: Server, addresses: tuple[str, ...]
) -> None:
    """All addresses of an allowed name must be public."""
    names = FakeNames(*addresses)
    base = f"http://cdn.example.com:{server.port}/faces/"
    store = PictureStore([base], max_bytes=LIMIT, timeout_s=5, resolve=names)
    with pytest.raises(ImageForbidden, match="private"):
        await store.fetch(f"{base}ok.jpg")
    assert [f"cdn.example.com:{server.port}"] == names.asked
    await store.close()


async def test_localhost_may_be_listed_and_must_be_a_loopback_address(server: Server) -> None:
    """Development needs ``localhost``; an address elsewhere is refused."""
    base = f"http://localhost:{server.port}/faces/"
    here = PictureStore([base], max_bytes=LIMIT, timeout_s=5, resolve=FakeNames("127.0.0.1"))
    assert await here.fetch(f"{base}ok.jpg") == PICTURE
    await here.close()
    elsewhere = PictureStore([base], max_bytes=LIMIT, timeout_s=5, resolve=FakeNames("10.0.0.8"))
    with pytest.raises(ImageForbidden):
        await elsewhere.fetch(f"{base}ok.jpg")
    await elsewhere.close()


async def test_an_unknown_name_is_unavailable() -> None:
    """A failed look-up may succeed later."""
    base = "https://cdn.example.com/"
    store = PictureStore([base], max_bytes=LIMIT, timeout_s=5, resolve=FakeNames())
    with pytest.raises(ImageUnavailable):
        await store.fetch(f"{base}a.jpg")
    await store.close()


@pytest.mark.parametrize(
    "uri",
    [
        "https://cdn.example.com/faces-evil/a.jpg",
        "https://cdn.example.com/faces/../x.jpg",
        "https://cdn.example.com/faces/%2e%2e/x.jpg",
        "https://cdn.example.com/faces/..%2fx.jpg",
        "https://cdn.example.com.evil.com/faces/a.jpg",
        "https://cdn.example.com@evil.com/faces/a.jpg",
        "https://user:pw@cdn.example.com/faces/a.jpg",
        "https://cdn.example.com:8443/faces/a.jpg",
        "http://cdn.example.com/faces/a.jpg",
        "https://cdn.example.com\\@evil.com/faces/a.jpg",
        "https://2130706433/faces/a.jpg",
        "https://127.1/faces/a.jpg",
        "https://0x7f.1/faces/a.jpg",
        "https:/cdn.example.com/faces/a.jpg",
        "https://cdn.example.com:99999/faces/a.jpg",
        "https://[::1/faces/a.jpg",
    ],
)
async def test_prefixes_are_compared_by_scheme_host_port_and_path(uri: str) -> None:
    """A URL that only looks like an allowed one is refused before a look-up."""
    names = FakeNames("127.0.0.1")
    store = PictureStore(
        ["https://cdn.example.com/faces/"], max_bytes=LIMIT, timeout_s=5, resolve=names
    )
    with pytest.raises(ImageForbidden):
        await store.fetch(uri)
    assert names.asked == []
    await store.close()


@pytest.mark.parametrize(
    "uri", ["HTTPS://CDN.Example.COM:443/faces/a.jpg", "https://cdn.example.com/%66aces/a.jpg"]
)
async def test_other_spellings_of_an_allowed_prefix_match(uri: str) -> None:
    """Case, the default port and unnecessary escapes make no difference."""
    names = FakeNames()
    store = PictureStore(
        ["https://cdn.example.com/faces"], max_bytes=LIMIT, timeout_s=5, resolve=names
    )
    with pytest.raises(ImageUnavailable):
        await store.fetch(uri)
    assert names.asked == ["cdn.example.com:443"]
    await store.close()


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        ("0.0.0.0", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("ff0e::1", False),
        ("2002:7f00:1::", False),
        ("::ffff:93.184.215.14", True),
        ("::ffff:224.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::5db8:d70e", True),
    ],
)
def test_is_public_judges_every_kind_of_address(address: str, public: bool) -> None:
    """An IPv6 transition address is judged by the IPv4 address inside it."""
    assert public == is_public(address)

"""Files and a server for claim checks, and canaries where claim checks must not lead."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from aiohttp import web

from tools.pictures import encoded, portrait

#: A password or signature in a URI; no log line may hold it.
SECRET = "Zk3vQ9sT7xYw1LmN"
MAX_IMAGE_BYTES = 300_000

#: Host names, and their addresses: pictures may come from none of them.
ADDRESSES: Mapping[str, Sequence[str]] = {
    "loopback.test": ["127.0.0.1"],
    "loopback6.test": ["::1"],
    "private.test": ["10.0.0.1", "192.168.1.1", "172.16.0.1"],
    "metadata.test": ["169.254.169.254"],
    "mapped.test": ["::ffff:127.0.0.1"],
    "nat64.test": ["64:ff9b::7f00:1"],
    "sixtofour.test": ["2002:7f00:1::"],
    "shared.test": ["100.64.0.1"],
    "any.test": ["0.0.0.0", "::"],
    "local6.test": ["fe80::1", "fc00::1"],
}


#: Pages below ``/open`` of the server.
PAGES = ("away", "redirect", "redirect-file", "redirect-name", "large", "liar", "zipped", "none")


async def resolve(host: str, port: int) -> Sequence[str]:
    """Resolve names as a hostile DNS server does. Raises ``OSError`` for other names."""
    name = host.rstrip(".").lower()
    if name not in ADDRESSES:
        raise OSError(f"{host} is unknown")
    return ADDRESSES[name]


@dataclass(frozen=True)
class Folders:
    """An allowed folder with links out of it, and forbidden ones with a canary picture."""

    allowed: Path
    forbidden: Path
    neighbour: Path
    """Its name begins with that of the allowed folder."""


def make_folders(base: Path) -> Folders:
    """Create the folders below ``base``, which must be empty."""
    folders = Folders(base / "pictures", base / "private", base / "pictures-old")
    for folder in (folders.allowed / "sub", folders.forbidden, folders.neighbour):
        folder.mkdir(parents=True)
    face = portrait()
    face.thumbnail((120, 120))
    picture = encoded(face, "JPEG")
    (folders.allowed / "grace.jpg").write_bytes(picture)
    (folders.allowed / "sub" / "grace.jpg").write_bytes(picture)
    (folders.allowed / "empty.jpg").touch()
    (folders.allowed / "large.jpg").write_bytes(picture + bytes(MAX_IMAGE_BYTES))
    os.mkfifo(folders.allowed / "pipe.jpg")
    for folder in (folders.forbidden, folders.neighbour):
        (folder / "canary.jpg").write_bytes(canary())
    links = {
        "link-in.jpg": "grace.jpg",
        "link-out.jpg": "../private/canary.jpg",
        "link-far.jpg": str(folders.forbidden / "canary.jpg"),
        "link-folder": "../private",
        "link-root": "/",
        "link-loop": "link-loop",
        "sub/link-up": "../..",
        "link-device": "/dev/zero",
    }
    for name, target in links.items():
        (folders.allowed / name).symlink_to(target)
    return folders


@cache
def canary() -> bytes:
    """Return a picture that can be scored: if it is read, its digest is in an answer."""
    face = portrait("eileen-collins")
    face.thumbnail((120, 120))
    return encoded(face, "JPEG", comment=b"canary")


@cache
def canary_digest() -> str:
    """Return the digest of the canary, which no answer and no log line may hold."""
    return hashlib.sha256(canary()).hexdigest()


@dataclass
class PictureSite:
    """A server on loopback. Claim checks may read ``/open``, which redirects to ``/closed``."""

    port: int = 0
    trespasses: list[str] = field(default_factory=list)
    """Requests that the worker must not make."""
    _runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen on a free port."""
        app = web.Application()
        app.router.add_get("/open", self._open)
        app.router.add_get("/open/{what:.*}", self._open)
        app.router.add_get("/{rest:.*}", self._trespass)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _open(self, request: web.Request) -> web.StreamResponse:
        if not request.host.startswith("127.0.0.1"):
            return await self._trespass(request)
        match request.match_info.get("what"):
            case "away":
                raise web.HTTPServiceUnavailable
            case "redirect":
                raise web.HTTPFound("/closed/canary.jpg")
            case "redirect-file":
                raise web.HTTPTemporaryRedirect("file:///etc/hostname")
            case "redirect-name":
                raise web.HTTPMovedPermanently(f"http://loopback.test:{self.port}/closed")
            case "large":
                return web.Response(body=bytes(MAX_IMAGE_BYTES + 1))
            case "liar":
                return web.Response(headers={"Content-Length": str(1 << 40)})
            case "zipped":
                return web.Response(body=bytes(100), headers={"Content-Encoding": "gzip"})
            case _:
                raise web.HTTPNotFound

    async def _trespass(self, request: web.Request) -> web.StreamResponse:
        self.trespasses.append(f"{request.host} {request.path_qs}")
        return web.Response(body=canary())

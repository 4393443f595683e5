"""A server of the pictures behind claim checks, which can be slow."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from aiohttp import web


@dataclass
class PictureServer:
    """``http://127.0.0.1:port/<name>``; a slow answer takes up to ``slow_s``."""

    port: int
    pictures: Mapping[str, bytes]
    slow_s: float
    rng: random.Random
    _slow: bool = False
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """The prefix of all claim checks."""
        return f"http://127.0.0.1:{self.port}/"

    async def start(self) -> None:
        """Start listening."""
        app = web.Application()
        app.router.add_get("/{name}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        """Close the port and all connections."""
        if self._runner is not None:
            await self._runner.cleanup()

    @contextmanager
    def slow(self) -> Iterator[None]:
        """Answer slowly inside the block."""
        self._slow = True
        try:
            yield
        finally:
            self._slow = False

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        picture = self.pictures.get(request.match_info["name"])
        if self._slow:
            await asyncio.sleep(self.rng.uniform(0, self.slow_s))
        if picture is None:
            return web.Response(status=404)
        return web.Response(body=picture, content_type="image/jpeg")

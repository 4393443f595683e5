"""A fake Qdrant server: the REST calls that ``streams/index/`` makes, except for searches.

It keeps points in the memory of this process, and can be away, answer errors, or answer too late.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from aiohttp import web


class Mood(StrEnum):
    """The server's behaviour."""

    WELL = "well"
    AWAY = "away"
    ERRORS = "errors"
    SLOW = "slow"


@dataclass(frozen=True, slots=True)
class StoredPoint:
    """One point, as last written."""

    user_id: str
    event_id: str
    vector: tuple[float, ...]


@dataclass
class _Collection:
    size: int
    points: dict[str, StoredPoint] = field(default_factory=dict)
    indexed: set[str] = field(default_factory=set)
    metadata: dict[str, object] = field(default_factory=dict)


@dataclass
class FakeQdrant:
    """A server on loopback; ``slow_s`` must be longer than the workers' time-out."""

    port: int
    slow_s: float
    rng: random.Random
    mood: Mood = Mood.WELL
    collections: dict[str, _Collection] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    troubled: int = 0
    _troubles: dict[object, Mood] = field(default_factory=dict)
    _runner: web.AppRunner | None = None
    _site: web.TCPSite | None = None

    @property
    def url(self) -> str:
        """The server's URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def points(self) -> dict[str, StoredPoint]:
        """The points of all collections, by id."""
        return {
            name: point for one in self.collections.values() for name, point in one.points.items()
        }

    async def start(self) -> None:
        """Start listening."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await self._listen()

    async def aclose(self) -> None:
        """Close the port and all connections."""
        if self._runner is not None:
            await self._runner.cleanup()

    @asynccontextmanager
    async def trouble(self, mood: Mood) -> AsyncIterator[None]:
        """Behave so inside the block; of nested or overlapping blocks the latest wins."""
        mine = object()
        self._troubles[mine] = mood
        await self._change()
        try:
            yield
        finally:
            del self._troubles[mine]
            await self._change()

    async def _change(self) -> None:
        before, self.mood = self.mood, next(reversed(self._troubles.values()), Mood.WELL)
        if self.mood is Mood.AWAY and before is not Mood.AWAY and self._site is not None:
            await self._site.stop()
        elif before is Mood.AWAY and self.mood is not Mood.AWAY:
            await self._listen()

    async def _listen(self) -> None:
        assert self._runner is not None
        self._site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await self._site.start()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else None
        if self.mood is not Mood.WELL:
            self.troubled += 1
        if self.mood is Mood.AWAY:
            if request.transport is not None:
                request.transport.abort()  # opened before the outage
            return web.Response(status=503)
        if self.mood is Mood.ERRORS:
            status = self.rng.choice((500, 503, 429, 502))
            headers = {"retry-after": "1"} if status == 429 else {}
            error = {"status": {"error": "an error injected by the chaos suite"}, "time": 0.0}
            return web.json_response(error, status=status, headers=headers)
        late = self.mood is Mood.SLOW
        if late and self.rng.random() < 0.5:
            await asyncio.sleep(self.slow_s)  # the client times out before the request is handled
            late = False
        answer = self._answer(request.method, request.path, body)
        if late:
            await asyncio.sleep(self.slow_s)  # the request is handled, but the client has timed out
        return answer

    def _answer(self, method: str, path: str, body: Any) -> web.Response:  # noqa: PLR0911 - a table
        match [method, *path.strip("/").split("/")]:
            case ["GET", "collections"]:
                return _ok({"collections": [{"name": name} for name in self.collections]})
            case ["GET", "aliases"]:
                return _ok(
                    {
                        "aliases": [
                            {"alias_name": alias, "collection_name": name}
                            for alias, name in self.aliases.items()
                        ]
                    }
                )
            case ["POST", "collections", "aliases"]:
                for action in body["actions"]:
                    if made := action.get("create_alias"):
                        self.aliases[made["alias_name"]] = made["collection_name"]
                return _ok(True)
            case ["GET", "collections", name, "exists"]:
                return _ok({"exists": name in self.collections})
            case ["PUT", "collections", name]:
                if name in self.collections:
                    return _refused(409, f"collection {name} already exists")
                self.collections[name] = _Collection(
                    body["vectors"]["size"], metadata=body.get("metadata") or {}
                )
                return _ok(True)
            case [_, "collections", name, *rest] if name in self.collections:
                return self._of_collection(method, rest, self.collections[name], body)
            case _:
                return _refused(404, f"{method} {path}")

    def _of_collection(  # noqa: PLR0911 - a table
        self, method: str, rest: list[str], collection: _Collection, body: Any
    ) -> web.Response:
        match [method, *rest]:
            case ["GET"]:
                return _ok(_info(collection))
            case ["PATCH"]:
                collection.metadata.update(body.get("metadata") or {})
                return _ok(True)
            case ["PUT", "index"]:
                collection.indexed.add(body["field_name"])
                return _done()
            case ["PUT", "points"]:
                for point in body["points"]:
                    collection.points[point["id"]] = StoredPoint(
                        point["payload"]["user_id"],
                        point["payload"]["event_id"],
                        tuple(point["vector"]),
                    )
                return _done()
            case ["POST", "points"]:
                return _ok([{"id": one} for one in body["ids"] if one in collection.points])
            case ["POST", "points", "delete"]:
                for one in body["points"]:
                    collection.points.pop(one, None)
                return _done()
            case ["POST", "points", "count"]:
                return _ok({"count": len(collection.points)})
            case _:
                return _refused(404, f"{method} {rest}")


def _ok(result: object) -> web.Response:
    return web.json_response({"result": result, "status": "ok", "time": 0.0})


def _done() -> web.Response:
    return _ok({"operation_id": 1, "status": "completed"})


def _refused(status: int, reason: str) -> web.Response:
    return web.json_response({"status": {"error": reason}, "time": 0.0}, status=status)


def _info(collection: _Collection) -> dict[str, object]:
    return {
        "status": "green",
        "optimizer_status": "ok",
        "segments_count": 1,
        "config": {
            "metadata": collection.metadata,
            "params": {"vectors": {"size": collection.size, "distance": "Cosine"}},
            "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000},
            "optimizer_config": {
                "deleted_threshold": 0.2,
                "vacuum_min_vector_number": 1000,
                "default_segment_number": 0,
                "flush_interval_sec": 5,
            },
        },
        "payload_schema": {
            key: {"data_type": "keyword", "points": 0} for key in sorted(collection.indexed)
        },
    }

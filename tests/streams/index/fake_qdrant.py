"""A fake Qdrant server with just enough of its REST API.

It records the requests, and can be told how to answer. The behaviour of a real index is tested on
an embedded one.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from streams.index.index_config import IndexConfig
from streams.index.vector_index import VectorIndex
from tests.streams.index.examples import COLLECTION, contract

Answer = tuple[int, dict[str, str], Any]  # status, headers, JSON


def ok(result: Any) -> Answer:
    return 200, {}, {"result": result, "status": "ok", "time": 0.0}


def refused(status: int, reason: str = "because", **headers: str) -> Answer:
    return status, headers, {"status": {"error": reason}, "time": 0.0}


@dataclass
class FakeQdrant:
    """A server with one collection and one alias; ``override`` may answer before it does."""

    exists: bool = True
    alias_of: str | None = COLLECTION
    indexed: tuple[str, ...] = ("user_id", "event_id")
    size: int = 3
    metadata: dict[str, object] | None = field(default_factory=lambda: contract().metadata())
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    override: Callable[[str, str], Answer | None] = lambda method, path: None
    released: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def answer(self, method: str, path: str, body: Any) -> Answer:
        self.requests.append((method, path, body))
        answer = self.override(method, path)
        if answer is not None:
            return answer
        match [method, *path.strip("/").split("/")]:
            case ["GET", "collections"]:
                answer = ok({"collections": [{"name": COLLECTION}] if self.exists else []})
            case ["GET", "aliases"]:
                answer = ok({"aliases": self._aliases()})
            case ["GET", "collections", _, "exists"]:
                answer = ok({"exists": self.exists})
            case ["GET", "collections", _]:
                answer = ok(self._info())
            case ["PUT", "collections", _]:
                self.exists = True
                answer = ok(True)
            case ["POST", "collections", "aliases"]:
                self.alias_of = body["actions"][-1]["create_alias"]["collection_name"]
                answer = ok(True)
            case ["POST", "collections", _, "points"]:
                answer = ok([])
            case ["POST", "collections", _, "points", "count"]:
                answer = ok({"count": 2})
            case _:
                answer = ok({"operation_id": 1, "status": "completed"})
        return answer

    def _aliases(self) -> list[dict[str, str]]:
        if self.alias_of is None:
            return []
        return [{"alias_name": "faces", "collection_name": self.alias_of}]

    def _info(self) -> dict[str, Any]:
        schema = {key: {"data_type": "keyword", "points": 0} for key in self.indexed}
        return {
            "status": "green",
            "optimizer_status": "ok",
            "segments_count": 1,
            "config": {
                "params": {"vectors": {"size": self.size, "distance": "Cosine"}},
                "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000},
                "optimizer_config": {
                    "deleted_threshold": 0.2,
                    "vacuum_min_vector_number": 1000,
                    "default_segment_number": 0,
                    "flush_interval_sec": 5,
                },
                "metadata": self.metadata,
            },
            "payload_schema": schema,
        }

    def sent(self, method: str, path: str) -> list[Any]:
        """The bodies of the requests to one path."""
        return [body for m, p, body in self.requests if (m, p) == (method, path)]

    @property
    def methods(self) -> set[str]:
        """The methods of all requests: only GET means that nothing was changed."""
        return {method for method, _, _ in self.requests}

    def config(self, **options: Any) -> IndexConfig:
        """The configuration of an index on this server."""
        defaults: dict[str, Any] = {"url": self.url, "path": Path("unused"), "contract": contract()}
        return IndexConfig(**(defaults | options))

    async def open(self, **options: Any) -> VectorIndex:
        """Open an index on this server."""
        return await VectorIndex.open(self.config(**options))


@contextmanager
def running_qdrant() -> Iterator[FakeQdrant]:
    """A fake server on a free port."""
    fake = FakeQdrant()

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            length = int(self.headers.get("content-length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            status, headers, content = fake.answer(self.command, self.path.partition("?")[0], body)
            raw = json.dumps(content).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        do_GET = do_PUT = do_POST = _handle  # noqa: N815 - the names that http.server calls

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    fake.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield fake
    fake.released.set()
    server.shutdown()
    thread.join()
    server.server_close()

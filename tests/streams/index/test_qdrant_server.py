"""The vector index on a server: a fake that speaks just enough of Qdrant's REST API.

It records the requests and can be told how to answer; real behaviour is tested on the local mode.
"""

import json
import socket
import threading
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from streams.index.vector_index import (
    FacePoint,
    IndexMismatch,
    IndexRejected,
    IndexUnavailable,
    ModelContract,
    VectorIndex,
)

EVENT = str(uuid.UUID(int=1))
COLLECTION = "faces-sface-3"
Answer = tuple[int, dict[str, str], Any]  # status, headers, JSON


def face_id_of(event_id: str, index: int) -> str:
    return str(uuid.uuid5(uuid.UUID(event_id), str(index)))


POINT = FacePoint(face_id_of(EVENT, 0), EVENT, "ann", 0, 1, (1.0, 0.0, 0.0), "sface")


def ok(result: Any) -> Answer:
    return 200, {}, {"result": result, "status": "ok", "time": 0.0}


def refused(status: int, reason: str = "because", **headers: str) -> Answer:
    return status, headers, {"status": {"error": reason}, "time": 0.0}


@dataclass
class FakeQdrant:
    """One collection and one alias; `override` answers first, if it answers at all."""

    exists: bool = True
    alias_of: str | None = COLLECTION
    indexed: tuple[str, ...] = ("user_id", "event_id")
    size: int = 3
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
            },
            "payload_schema": schema,
        }

    def sent(self, method: str, path: str) -> list[Any]:
        """The bodies of the requests to one path."""
        return [body for m, p, body in self.requests if (m, p) == (method, path)]

    async def open(self, **options: Any) -> VectorIndex:
        return await VectorIndex.open(
            **{
                "url": self.url,
                "api_key": None,
                "path": None,
                "embedder": "sface",
                "embedding_size": 3,
                "face_id_of": face_id_of,
            }
            | options
        )


@pytest.fixture
async def qdrant() -> AsyncIterator[FakeQdrant]:
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

        do_GET = do_PUT = do_POST = _handle  # noqa: N815 - the names that http.server looks for

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


@pytest.fixture
async def index(qdrant: FakeQdrant) -> AsyncIterator[VectorIndex]:
    index = await qdrant.open()
    yield index
    await index.close()


async def test_the_first_worker_makes_collection_payload_indexes_and_alias(
    qdrant: FakeQdrant,
) -> None:
    """Cosine distance, the replication and shards asked for, keyword indexes, and the alias."""
    qdrant.exists, qdrant.alias_of, qdrant.indexed = False, None, ()
    index = await qdrant.open(replication_factor=2, shard_number=6)
    [made] = qdrant.sent("PUT", f"/collections/{COLLECTION}")
    assert (made["vectors"]["size"], made["vectors"]["distance"]) == (3, "Cosine")
    assert (made["replication_factor"], made["shard_number"]) == (2, 6)
    indexes = qdrant.sent("PUT", f"/collections/{COLLECTION}/index")
    assert [(one["field_name"], one["field_schema"]) for one in indexes] == [
        ("user_id", "keyword"),
        ("event_id", "keyword"),
    ]
    assert qdrant.alias_of == COLLECTION
    await index.close()


async def test_later_workers_only_look(qdrant: FakeQdrant, index: VectorIndex) -> None:
    """Where everything is in place, opening changes nothing."""
    assert {method for method, _, _ in qdrant.requests} == {"GET"}


async def test_an_alias_that_points_elsewhere_is_switched_in_one_request(
    qdrant: FakeQdrant,
) -> None:
    """Searches in between find the old collection or the new one, never none."""
    qdrant.alias_of = "faces-old-512"
    index = await qdrant.open()
    [switch] = qdrant.sent("POST", "/collections/aliases")
    assert [next(iter(action)) for action in switch["actions"]] == ["delete_alias", "create_alias"]
    assert qdrant.alias_of == COLLECTION
    await index.close()


async def test_an_alias_that_went_on_to_newer_models_is_not_taken_back(
    qdrant: FakeQdrant, index: VectorIndex
) -> None:
    """By an older worker that meets its server again; its own searches stay in its collection."""
    qdrant.alias_of = "faces-newer-3"
    qdrant.override = lambda method, path: refused(503) if method == "PUT" else None
    with pytest.raises(IndexUnavailable):
        await index.apply([POINT])
    qdrant.override = lambda method, path: ok({"points": []}) if "query" in path else None
    await index.apply([POINT])
    assert qdrant.alias_of == "faces-newer-3"
    await index.nearest((1.0, 0.0, 0.0), limit=1)
    assert qdrant.requests[-1][:2] == ("POST", f"/collections/{COLLECTION}/points/query")


async def test_who_only_looks_makes_and_moves_nothing(qdrant: FakeQdrant) -> None:
    """A search with other models than the workers' must not turn the workers' alias."""
    qdrant.alias_of = "faces-newer-3"
    index = await qdrant.open(read_only=True)
    await index.close()
    qdrant.exists = False
    with pytest.raises(IndexMismatch, match=f"no collection {COLLECTION}"):
        await qdrant.open(read_only=True)
    assert {method for method, _, _ in qdrant.requests} == {"GET"}
    assert qdrant.alias_of == "faces-newer-3"


async def test_who_only_looks_is_told_of_other_models(qdrant: FakeQdrant) -> None:
    """Similarities between the two would mean nothing."""
    with pytest.raises(IndexMismatch, match="does not say which models made it"):
        await qdrant.open(read_only=True, contract=ModelContract("d", "0", "sface", "1", 3, "2"))


async def test_two_workers_may_make_the_collection_at_once(qdrant: FakeQdrant) -> None:
    """The one that comes second is told so by the server, and goes on."""
    qdrant.exists = False

    def already_there(method: str, path: str) -> Answer | None:
        if (method, path) == ("PUT", f"/collections/{COLLECTION}"):
            qdrant.exists = True
            return refused(409, "already exists")
        return None

    qdrant.override = already_there
    index = await qdrant.open()
    await index.ping()
    await index.close()


async def test_a_collection_of_another_size_is_a_mismatch(qdrant: FakeQdrant) -> None:
    """Nothing is changed, and the message says how to go on."""
    qdrant.size = 512
    with pytest.raises(IndexMismatch, match=r"512.*delete the collection"):
        await qdrant.open()
    assert {method for method, _, _ in qdrant.requests} == {"GET"}


async def test_an_alias_that_is_a_collection_is_a_mismatch(qdrant: FakeQdrant) -> None:
    """An alias cannot have the name of a collection; the message names the setting."""
    with pytest.raises(IndexMismatch, match="QDRANT_ALIAS"):
        await qdrant.open(alias=COLLECTION)


async def test_writing_waits_until_it_is_stored(qdrant: FakeQdrant, index: VectorIndex) -> None:
    """Without surplus, a batch is one look-up and one write that waits; nothing is removed."""
    qdrant.requests.clear()
    await index.apply([POINT])
    paths = [f"{method} {path}" for method, path, _ in qdrant.requests]
    assert paths == [
        f"POST /collections/{COLLECTION}/points",
        f"PUT /collections/{COLLECTION}/points",
    ]
    [looked_up] = qdrant.sent("POST", f"/collections/{COLLECTION}/points")
    assert looked_up["ids"] == [face_id_of(EVENT, number) for number in range(5)]


@pytest.mark.parametrize(
    ("answer", "error", "reason"),
    [
        (refused(400, "vector dimension"), IndexRejected, "vector dimension"),
        (refused(422, "bad JSON"), IndexRejected, "bad JSON"),
        (refused(413, "32 MB"), IndexRejected, "32 MB"),
        (refused(401, "no key"), IndexUnavailable, "QDRANT_API_KEY"),
        (refused(403, "wrong key"), IndexUnavailable, "QDRANT_API_KEY"),
        (refused(408, "slow"), IndexUnavailable, "slow"),
        (refused(429, "calm down"), IndexUnavailable, "calm down"),
        (refused(500, "no space left on device"), IndexUnavailable, "no space left"),
        (refused(503, "starting"), IndexUnavailable, "starting"),
        ((502, {}, "not from Qdrant"), IndexUnavailable, "502"),
        ((200, {}, "not from Qdrant"), IndexUnavailable, "does not answer"),
    ],
)
async def test_answers_are_told_apart_by_whether_a_repeat_can_help(
    qdrant: FakeQdrant, index: VectorIndex, answer: Answer, error: type[Exception], reason: str
) -> None:
    """Only what is certain to fail again is rejected; the message names server and reason."""
    qdrant.override = lambda method, path: answer if method == "PUT" else None
    with pytest.raises(error, match=rf"127\.0\.0\.1.*{reason}"):
        await index.apply([POINT])
    qdrant.override = lambda method, path: None
    await index.apply([POINT])


async def test_the_servers_wish_for_a_pause_is_passed_on(
    qdrant: FakeQdrant, index: VectorIndex
) -> None:
    """429 with Retry-After."""
    qdrant.override = lambda method, path: refused(429, "calm down", retry_after="7")
    with pytest.raises(IndexUnavailable, match="calm down") as caught:
        await index.apply([POINT])
    assert caught.value.retry_after_s == 7


async def test_a_lost_collection_is_made_again_by_the_repeat(
    qdrant: FakeQdrant, index: VectorIndex
) -> None:
    """Deleted under a running worker: the error is transient, and the next attempt works."""

    def lost(method: str, path: str) -> Answer | None:
        missing = path.endswith("/points") and not qdrant.exists
        return refused(404, "not found") if missing else None

    qdrant.exists, qdrant.alias_of, qdrant.override = False, None, lost
    with pytest.raises(IndexUnavailable, match="404"):
        await index.apply([POINT])
    await index.apply([POINT])
    assert [qdrant.exists, qdrant.alias_of] == [True, COLLECTION]


async def test_a_missing_collection_fails_the_ping(qdrant: FakeQdrant, index: VectorIndex) -> None:
    """A server that answers but has lost the collection is not ready."""
    await index.ping()
    qdrant.exists = False
    with pytest.raises(IndexUnavailable, match=COLLECTION):
        await index.ping()


async def test_a_server_that_does_not_answer_in_time_is_unavailable(qdrant: FakeQdrant) -> None:
    """The time-out is the caller's, in whole seconds."""
    index = await qdrant.open(timeout_s=0.2)

    def hang(method: str, path: str) -> None:
        qdrant.released.wait()

    qdrant.override = hang
    with pytest.raises(IndexUnavailable, match=r"[Tt]ime"):
        await index.count()
    qdrant.released.set()
    await index.close()


async def test_a_server_that_is_away_is_unavailable() -> None:
    """Opening says which server; it may be tried again. Credentials in the URL are not shown."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(IndexUnavailable, match=rf"127\.0\.0\.1:{port} does not answer") as caught:
        await FakeQdrant(url=f"http://user:hunter2@127.0.0.1:{port}").open()
    assert caught.value.transient
    assert "hunter2" not in str(caught.value)

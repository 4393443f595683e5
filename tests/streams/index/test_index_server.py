"""The vector index on a server: what it requests, and how it takes the answers."""

from __future__ import annotations

import socket

import pytest

from streams.index.errors import IndexMismatch, IndexRejected, IndexUnavailable
from streams.index.vector_index import VectorIndex
from tests.streams.index.examples import COLLECTION, A, face, face_id
from tests.streams.index.fake_qdrant import Answer, FakeQdrant, ok, refused

POINT = face(A)


async def test_the_first_worker_creates_collection_payload_indexes_and_alias(
    qdrant: FakeQdrant,
) -> None:
    """With cosine distance, the configured replicas and shards, and keyword indexes."""
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


@pytest.mark.usefixtures("on_server")
async def test_opening_a_complete_index_changes_nothing(qdrant: FakeQdrant) -> None:
    assert qdrant.methods == {"GET"}


async def test_a_search_goes_to_the_collection_of_the_models(
    qdrant: FakeQdrant, on_server: VectorIndex
) -> None:
    """Not through the alias, which may point to another collection."""
    qdrant.override = lambda method, path: ok({"points": []}) if "query" in path else None
    await on_server.nearest((1.0, 0.0, 0.0), limit=1)
    assert qdrant.requests[-1][:2] == ("POST", f"/collections/{COLLECTION}/points/query")


async def test_opening_to_read_changes_nothing(qdrant: FakeQdrant) -> None:
    """A search with other models than the workers' creates no collection and no alias."""
    qdrant.alias_of = None
    index = await qdrant.open(read_only=True)
    await index.close()
    qdrant.exists = False
    with pytest.raises(IndexMismatch, match=f"no collection {COLLECTION}"):
        await qdrant.open(read_only=True)
    assert qdrant.methods == {"GET"}


async def test_opening_to_read_refuses_the_collection_of_other_models(qdrant: FakeQdrant) -> None:
    """Similarities between faces of different models are meaningless."""
    qdrant.metadata = None
    with pytest.raises(IndexMismatch, match="does not say which models made it"):
        await qdrant.open(read_only=True)


async def test_two_workers_may_create_the_collection_at_once(qdrant: FakeQdrant) -> None:
    """The server refuses the second, which then uses the collection of the first."""
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
    """Nothing is changed, and the message says what to do."""
    qdrant.size = 512
    with pytest.raises(IndexMismatch, match=r"512.*delete the collection"):
        await qdrant.open()
    assert qdrant.methods == {"GET"}


async def test_writing_returns_when_the_points_are_stored(
    qdrant: FakeQdrant, on_server: VectorIndex
) -> None:
    """Without left-over points a batch is one look-up and one write; nothing is removed."""
    qdrant.requests.clear()
    await on_server.apply([POINT])
    paths = [f"{method} {path}" for method, path, _ in qdrant.requests]
    assert paths == [
        f"POST /collections/{COLLECTION}/points",
        f"PUT /collections/{COLLECTION}/points",
    ]
    [looked_up] = qdrant.sent("POST", f"/collections/{COLLECTION}/points")
    assert looked_up["ids"] == [face_id(A, number) for number in range(5)]


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
async def test_only_failures_that_must_repeat_are_rejections(
    qdrant: FakeQdrant, on_server: VectorIndex, answer: Answer, error: type[Exception], reason: str
) -> None:
    """All others are transient; the message names server and reason."""
    qdrant.override = lambda method, path: answer if method == "PUT" else None
    with pytest.raises(error, match=rf"127\.0\.0\.1.*{reason}"):
        await on_server.apply([POINT])
    qdrant.override = lambda method, path: None
    await on_server.apply([POINT])


async def test_a_pause_that_the_server_asks_for_is_passed_on(
    qdrant: FakeQdrant, on_server: VectorIndex
) -> None:
    """Status 429 with Retry-After."""
    qdrant.override = lambda method, path: refused(429, "calm down", retry_after="7")
    with pytest.raises(IndexUnavailable, match="calm down") as caught:
        await on_server.apply([POINT])
    assert caught.value.retry_after_s == 7


async def test_a_lost_collection_is_created_again_by_the_repeat(
    qdrant: FakeQdrant, on_server: VectorIndex
) -> None:
    """Deleted under a running worker: the error is transient, and the next attempt succeeds."""

    def lost(method: str, path: str) -> Answer | None:
        missing = path.endswith("/points") and not qdrant.exists
        return refused(404, "not found") if missing else None

    qdrant.exists, qdrant.alias_of, qdrant.override = False, None, lost
    with pytest.raises(IndexUnavailable, match="404"):
        await on_server.apply([POINT])
    await on_server.apply([POINT])
    assert [qdrant.exists, qdrant.alias_of] == [True, COLLECTION]


async def test_a_missing_collection_fails_the_ping(
    qdrant: FakeQdrant, on_server: VectorIndex
) -> None:
    """A server that answers but has lost the collection is not ready."""
    await on_server.ping()
    qdrant.exists = False
    with pytest.raises(IndexUnavailable, match=COLLECTION):
        await on_server.ping()


async def test_a_server_that_does_not_answer_in_time_is_unavailable(qdrant: FakeQdrant) -> None:
    index = await qdrant.open(timeout_s=0.2)

    def hang(method: str, path: str) -> None:
        qdrant.released.wait()

    qdrant.override = hang
    with pytest.raises(IndexUnavailable, match=r"[Tt]ime"):
        await index.count()
    qdrant.released.set()
    await index.close()


async def test_an_unreachable_server_is_unavailable() -> None:
    """The message names the server, without the credentials of its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(IndexUnavailable, match=rf"127\.0\.0\.1:{port} does not answer") as caught:
        await FakeQdrant(url=f"http://user:hunter2@127.0.0.1:{port}").open()
    assert isinstance(caught.value, IndexUnavailable)
    assert "hunter2" not in str(caught.value)

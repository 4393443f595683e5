"""A local collection's file: one commit for what is written together, or nothing."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, PointStruct, VectorParams

from streams.index.client import commit_in_batches, one_commit

NAME = "faces"
POINTS = [PointStruct(id=number, vector=[1.0, 0.0], payload={}) for number in range(3)]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[QdrantClient]:
    client = QdrantClient(path=str(tmp_path))
    client.create_collection(NAME, VectorParams(size=2, distance=Distance.COSINE))
    commit_in_batches(client, NAME)
    yield client
    client.close()


def file_in(folder: Path) -> Path:
    [file] = folder.glob("**/storage.sqlite")
    return file


def rows(folder: Path) -> int:
    """What another process would find in the file."""
    with sqlite3.connect(file_in(folder)) as other:
        count: int = other.execute("SELECT count(*) FROM points").fetchone()[0]
    other.close()
    return count


def test_what_is_written_together_is_one_commit(client: QdrantClient, tmp_path: Path) -> None:
    """The connection is the client's private one: an upgrade may hide it, and be slow again."""
    statements: list[str] = []
    client._client.collections[NAME].storage.storage.set_trace_callback(statements.append)  # type: ignore[attr-defined]
    with one_commit(client, NAME):
        client.upsert(NAME, POINTS)
        assert rows(tmp_path) == 0
    assert statements.count("COMMIT") == 1
    assert rows(tmp_path) == 3


def test_what_is_written_outside_is_committed_as_ever(client: QdrantClient, tmp_path: Path) -> None:
    with one_commit(client, NAME):
        client.upsert(NAME, POINTS)
    client.delete(NAME, [2])
    assert rows(tmp_path) == 2
    client.upsert(NAME, POINTS[2:])
    assert rows(tmp_path) == 3


def test_a_batch_that_fails_leaves_nothing_and_can_be_repeated(
    client: QdrantClient, tmp_path: Path
) -> None:
    """The client has the points in memory by then; a repeat writes them all the same."""

    def failing() -> None:
        with one_commit(client, NAME):
            client.upsert(NAME, POINTS)
            raise sqlite3.OperationalError("database or disk is full")

    with pytest.raises(sqlite3.OperationalError):
        failing()
    assert rows(tmp_path) == 0
    with one_commit(client, NAME):
        client.upsert(NAME, POINTS)
    assert rows(tmp_path) == 3


def test_a_row_of_an_older_client_is_known_after_a_batch_that_failed(tmp_path: Path) -> None:
    """Or deleting its point would leave it in the file, and the face would come back."""
    with closing(QdrantClient(path=str(tmp_path))) as first:
        first.create_collection(NAME, VectorParams(size=2, distance=Distance.COSINE))
        first.upsert(NAME, POINTS[:1])
    with sqlite3.connect(file_in(tmp_path)) as other:
        other.execute("UPDATE points SET id = 'as it was written once'")
    other.close()
    with closing(QdrantClient(path=str(tmp_path))) as client:
        commit_in_batches(client, NAME)

        def failing() -> None:
            with one_commit(client, NAME):
                client.upsert(NAME, POINTS[:1])
                raise sqlite3.OperationalError("database or disk is full")

        with pytest.raises(sqlite3.OperationalError):
            failing()
        with one_commit(client, NAME):
            client.upsert(NAME, POINTS[:1])
        client.delete(NAME, [0])
    assert rows(tmp_path) == 0


def test_a_client_of_a_server_has_no_file_to_commit_to() -> None:
    server = QdrantClient(url="http://127.0.0.1:1", check_compatibility=False)
    with one_commit(server, NAME):
        pass

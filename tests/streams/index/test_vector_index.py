"""The vector index in a real folder: which points stay, which go, and what a search finds."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from streams.index.administration import report_alias
from streams.index.errors import IndexRejected, IndexUnavailable
from streams.index.points import FacePoint, GoneFaces
from streams.index.vector_index import VectorIndex
from tests.streams.index.examples import (
    COLLECTION,
    A,
    B,
    C,
    X,
    Y,
    contract,
    face,
    face_id,
    folder_config,
    open_folder,
)


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[VectorIndex]:
    index = await open_folder(tmp_path / "index")
    yield index
    await index.close()


async def faces_in(index: VectorIndex) -> set[str]:
    """The ids in the collection in use, found by a search without a real limit."""
    return {found.face_id for found in await index.nearest(X, limit=1000)}


async def closed(index: VectorIndex, folder: Path) -> dict[str, int]:
    """Close the index; returns its collections and how many points each holds."""
    await index.close()
    report = await report_alias(folder_config(folder))
    return {collection.name: collection.points for collection in report.collections}


def test_importing_the_module_does_not_import_qdrant_client() -> None:
    """That takes over a second; a starting worker imports it in a thread of the index."""
    program = "import sys, streams.index.vector_index; sys.exit('qdrant_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


async def test_a_batch_in_a_folder_is_one_commit(index: VectorIndex, tmp_path: Path) -> None:
    """The connection is private to the client; an upgrade may hide it and bring slow commits."""
    await index.apply([face(A)])
    [stored] = tmp_path.glob("index/**/storage.sqlite-wal")
    assert stored.stat().st_size > 0
    statements: list[str] = []
    local: Any = index._store._client._client
    connection = local.collections[COLLECTION].storage.storage
    connection.set_trace_callback(statements.append)
    await index.apply([face(B, number, 3) for number in range(3)])
    assert statements.count("COMMIT") == 1
    full = 2
    assert connection.execute("PRAGMA synchronous").fetchone() == (full,)


async def test_a_face_comes_back_with_its_vector_and_payload(index: VectorIndex) -> None:
    """The stored vector has length one."""
    await index.apply([face(A, vector=(3.0, 0.0, 4.0), quality=0.5, box={"x": 1})])
    found = await index.get(face_id(A, 0))
    assert found is not None
    assert (found.face_id, found.user_id, found.event_id) == (face_id(A, 0), "ann", A)
    assert found.vector == pytest.approx((0.6, 0.0, 0.8))
    assert found.payload == {
        "quality": 0.5,
        "box": {"x": 1},
        "user_id": "ann",
        "event_id": A,
        "face_index": 0,
        "face_count": 1,
        "embedder": "sface",
    }
    assert await index.get(face_id(B, 0)) is None


async def test_a_restart_keeps_everything(tmp_path: Path) -> None:
    """Points, collection and alias."""
    first = await open_folder(tmp_path)
    await first.apply([face(A), face(B, vector=Y)])
    await first.close()
    second = await open_folder(tmp_path)
    assert await second.count() == 2
    await second.ping()
    assert await closed(second, tmp_path) == {COLLECTION: 2}
    assert (await report_alias(folder_config(tmp_path))).points_to == COLLECTION


async def test_applying_again_changes_nothing(index: VectorIndex) -> None:
    """A repeated batch, and the same face twice in one, leave one point: the later."""
    batch = [face(A, user="old"), face(A, user="new", vector=Y)]
    await index.apply(batch)
    await index.apply(batch)
    assert await index.count() == 1
    found = await index.get(face_id(A, 0))
    assert found is not None
    assert (found.user_id, found.vector) == ("new", Y)


async def test_fewer_faces_than_before_remove_the_surplus(index: VectorIndex) -> None:
    """A re-scored event keeps only the faces it has now; other events keep theirs."""
    await index.apply([face(A, i, 3) for i in range(3)] + [face(B, i, 2) for i in range(2)])
    await index.apply([face(A, 0, 1)])
    assert await faces_in(index) == {face_id(A, 0), face_id(B, 0), face_id(B, 1)}


async def test_left_over_points_are_found_behind_a_gap(index: VectorIndex) -> None:
    """Only the fourth of five faces was stored before the event was scored again with one."""
    await index.apply([face(A, 3, 5)])
    await index.apply([face(A, 0, 1)])
    assert await faces_in(index) == {face_id(A, 0)}


async def test_two_scores_of_an_event_in_one_batch(index: VectorIndex) -> None:
    """Three faces and then one end as one."""
    await index.apply([*(face(A, i, 3) for i in range(3)), face(A, 0, 1)])
    assert await faces_in(index) == {face_id(A, 0)}


async def test_a_failure_between_writing_and_removing_is_mended_by_the_repeat(
    index: VectorIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is transient."""
    await index.apply([face(A, i, 3) for i in range(3)])
    with monkeypatch.context() as broken:

        def full(*_: object, **__: object) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        broken.setattr("qdrant_client.QdrantClient.delete", full)
        with pytest.raises(IndexUnavailable, match="disk is full"):
            await index.apply([face(A, 0, 1, user="new")])
    assert await index.count() == 3
    await index.apply([face(A, 0, 1, user="new")])
    assert await faces_in(index) == {face_id(A, 0)}


async def test_an_event_without_faces_leaves_every_collection(
    index: VectorIndex, tmp_path: Path
) -> None:
    """Also the collections of other embedders."""
    await index.apply([face(A, 0, 2), face(A, 1, 2), face(A, embedder="other"), face(B)])
    await index.apply([GoneFaces(A)])
    assert await closed(index, tmp_path / "index") == {"faces-other-3": 0, COLLECTION: 1}


async def test_an_event_loses_its_faces_in_the_order_of_the_changes(index: VectorIndex) -> None:
    """Points that come after the removal stay, points that come before it go."""
    await index.apply([face(A, 1, 2), GoneFaces(A), face(A, 0, 1)])
    assert await faces_in(index) == {face_id(A, 0)}
    await index.apply([face(A, 0, 1), GoneFaces(A)])
    assert await faces_in(index) == set()


async def test_points_of_another_embedder_have_their_own_collection(
    index: VectorIndex, tmp_path: Path
) -> None:
    """They are stored, but neither counted nor found by a search."""
    await index.apply([face(A), face(B, embedder="arcface", vector=(1.0, 0.0, 0.0, 0.0))])
    assert await index.count() == 1
    assert await faces_in(index) == {face_id(A, 0)}
    assert await closed(index, tmp_path / "index") == {"faces-arcface-4": 1, COLLECTION: 1}


async def test_a_worker_with_another_embedder_uses_the_collection_of_that(tmp_path: Path) -> None:
    """A collection that was filled before is in use after a restart with its embedder."""
    old = await open_folder(tmp_path)
    await old.apply([face(A), face(B, embedder="arcface", vector=(1.0, 0.0, 0.0, 0.0))])
    await old.close()
    new = await open_folder(tmp_path, contract("arcface", 4))
    nearest = await new.nearest((1.0, 0.0, 0.0, 0.0), limit=5)
    assert [one.face_id for one in nearest] == [face_id(B, 0)]
    await new.close()


async def test_a_search_is_ordered_limited_and_leaves_out_an_event(index: VectorIndex) -> None:
    """By similarity, highest first."""
    await index.apply(
        [
            face(A, vector=X, user="ann"),
            face(B, vector=(0.8, 0.6, 0.0), user="bob"),
            face(C, vector=(0.6, 0.8, 0.0), user="ann"),
        ]
    )

    async def events(limit: int = 5, without: str | None = None) -> list[str]:
        found = await index.nearest(X, limit=limit, exclude_event_id=without)
        return [one.event_id for one in found]

    assert await events() == [A, B, C]
    assert await events(limit=2) == [A, B]
    assert await events(without=A) == [B, C]
    [bob] = await index.nearest(X, limit=1, exclude_event_id=A)
    assert (bob.user_id, bob.face_id) == ("bob", face_id(B, 0))
    assert bob.similarity == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (face(A, 1, 1), "face_index"),
        (face(A, 0, 65), "face_count"),
        (face(A, vector=(float("nan"), 0, 0)), "finite"),
        (face(A, vector=(1e300, 0, 0)), "finite"),
        (face(A, vector=()), "empty"),
        (face(A, embedder="../x"), "embedder"),
        (FacePoint(B, A, "ann", 0, 1, X, contract()), "face_id"),
        (FacePoint("x", A, "ann", 0, 1, X, contract()), "UUID"),
        (FacePoint(A, "x", "ann", 0, 1, X, contract()), "UUID"),
        (FacePoint(face_id(A, 0), A, "ann", 0, 1, X, contract(size=4)), "3 numbers, expected 4"),
        (GoneFaces("x"), "UUID"),
    ],
)
async def test_a_bad_change_rejects_its_batch_unwritten(
    index: VectorIndex, bad: FacePoint | GoneFaces, reason: str
) -> None:
    """The error names the reason; nothing of the batch is written."""
    with pytest.raises(IndexRejected, match=reason):
        await index.apply([face(C), bad])
    assert await index.count() == 0


async def test_a_malformed_query_is_rejected(index: VectorIndex) -> None:
    """A vector of another length, an id that is not a UUID."""
    with pytest.raises(IndexRejected):
        await index.nearest((1.0, 0.0), limit=1)
    with pytest.raises(IndexRejected):
        await index.get("not-a-uuid")


async def test_a_closed_index_refuses_calls(tmp_path: Path) -> None:
    """Closing waits for the work under way, and may be done twice."""
    index = await open_folder(tmp_path)
    writing = asyncio.create_task(index.apply([face(A)]))
    await asyncio.sleep(0)  # let it begin
    await index.close()
    await index.close()
    await writing
    with pytest.raises(RuntimeError, match="closed"):
        await index.count()
    again = await open_folder(tmp_path)
    assert await again.count() == 1
    await again.close()

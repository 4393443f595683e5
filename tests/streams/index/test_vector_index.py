"""The vector index on a real local folder: what stays, what goes, and who may open it."""

import asyncio
import json
import signal
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from streams.errors import ConfigurationError
from streams.index.vector_index import (
    JSON,
    FacePoint,
    GoneFaces,
    IndexBusy,
    IndexDamaged,
    IndexMismatch,
    IndexRejected,
    IndexUnavailable,
    VectorIndex,
)

A, B, C = (str(uuid.UUID(int=number)) for number in (1, 2, 3))
X, Y, Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


def face_id_of(event_id: str, index: int) -> str:
    return str(uuid.uuid5(uuid.UUID(event_id), str(index)))


def face(
    event_id: str,
    index: int = 0,
    count: int = 1,
    *,
    user: str = "ann",
    vector: Sequence[float] = X,
    embedder: str = "sface",
    **payload: JSON,
) -> FacePoint:
    return FacePoint(
        face_id_of(event_id, index), event_id, user, index, count, vector, embedder, payload
    )


async def open_index(
    path: Path, *, embedder: str = "sface", size: int = 3, read_only: bool = False
) -> VectorIndex:
    return await VectorIndex.open(
        url=None,
        api_key=None,
        path=path,
        embedder=embedder,
        embedding_size=size,
        face_id_of=face_id_of,
        read_only=read_only,
    )


async def faces_in(index: VectorIndex) -> set[str]:
    """The ids behind the alias, found by searching for everything."""
    return {found.face_id for found in await index.nearest(X, limit=1000)}


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[VectorIndex]:
    index = await open_index(tmp_path / "index")
    yield index
    await index.close()


def test_importing_the_module_does_not_import_qdrant_client() -> None:
    """It takes over a second; a worker that starts pays for it in a thread, not in the import."""
    program = "import sys, streams.index.vector_index; sys.exit('qdrant_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


async def test_a_local_collection_commits_a_batch_at_once(
    index: VectorIndex, tmp_path: Path
) -> None:
    """The connection is the client's private one: an upgrade may hide it, and be slow again."""
    await index.apply([face(A)])
    [stored] = tmp_path.glob("index/**/storage.sqlite-wal")
    assert stored.stat().st_size > 0
    statements: list[str] = []
    local: Any = index._store._client._client
    connection = local.collections["faces-sface-3"].storage.storage
    connection.set_trace_callback(statements.append)
    await index.apply([face(B, number, 3) for number in range(3)])
    assert statements.count("COMMIT") == 1
    full = 2
    assert connection.execute("PRAGMA synchronous").fetchone() == (full,)


async def test_a_face_comes_back_with_its_vector_and_payload(index: VectorIndex) -> None:
    """What was applied can be got by its id; the stored vector has length one."""
    await index.apply([face(A, vector=(3.0, 0.0, 4.0), quality=0.5, box={"x": 1})])
    found = await index.get(face_id_of(A, 0))
    assert found is not None
    assert (found.face_id, found.user_id, found.event_id) == (face_id_of(A, 0), "ann", A)
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
    assert await index.get(face_id_of(B, 0)) is None


async def test_a_restart_keeps_everything(tmp_path: Path) -> None:
    """Points, collection and alias are there again when the folder is opened again."""
    first = await open_index(tmp_path)
    await first.apply([face(A), face(B, vector=Y)])
    await first.close()
    second = await open_index(tmp_path)
    assert await second.count() == 2
    assert [(one.name, one.points, one.alias) for one in await second.collections()] == [
        ("faces-sface-3", 2, "faces")
    ]
    await second.ping()
    await second.close()


async def test_applying_again_changes_nothing(index: VectorIndex) -> None:
    """A repeat of the same batch, and the same face twice in one, leave one point: the later."""
    batch = [face(A, user="old"), face(A, user="new", vector=Y)]
    await index.apply(batch)
    await index.apply(batch)
    assert await index.count() == 1
    found = await index.get(face_id_of(A, 0))
    assert found is not None
    assert (found.user_id, found.vector) == ("new", Y)


async def test_fewer_faces_than_before_remove_the_surplus(index: VectorIndex) -> None:
    """A re-scored event keeps only the faces it has now; other events keep theirs."""
    await index.apply([face(A, i, 3) for i in range(3)] + [face(B, i, 2) for i in range(2)])
    await index.apply([face(A, 0, 1)])
    assert await faces_in(index) == {face_id_of(A, 0), face_id_of(B, 0), face_id_of(B, 1)}


async def test_left_overs_are_found_whatever_their_index(index: VectorIndex) -> None:
    """Only the fourth of five faces was stored before the event was scored anew with one."""
    await index.apply([face(A, 3, 5)])
    await index.apply([face(A, 0, 1)])
    assert await faces_in(index) == {face_id_of(A, 0)}


async def test_both_scores_of_an_event_in_one_batch(index: VectorIndex) -> None:
    """Three faces and then one, in the same batch, end as one."""
    await index.apply([*(face(A, i, 3) for i in range(3)), face(A, 0, 1)])
    assert await faces_in(index) == {face_id_of(A, 0)}


async def test_a_failure_between_writing_and_removing_is_mended_by_the_repeat(
    index: VectorIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When removing fails after writing, the error is transient and a repeat ends right."""
    await index.apply([face(A, i, 3) for i in range(3)])
    with monkeypatch.context() as broken:

        def full(*_: object, **__: object) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        broken.setattr("qdrant_client.QdrantClient.delete", full)
        with pytest.raises(IndexUnavailable, match="disk is full") as caught:
            await index.apply([face(A, 0, 1, user="new")])
    assert caught.value.transient
    assert await index.count() == 3
    await index.apply([face(A, 0, 1, user="new")])
    assert await faces_in(index) == {face_id_of(A, 0)}


async def test_gone_faces_leave_every_collection(index: VectorIndex) -> None:
    """An event without faces loses its points, also those of another embedder."""
    await index.apply([face(A, 0, 2), face(A, 1, 2), face(A, embedder="other"), face(B)])
    await index.apply([], [GoneFaces(A), GoneFaces(C)])
    assert {one.name: one.points for one in await index.collections()} == {
        "faces-other-3": 0,
        "faces-sface-3": 1,
    }


async def test_gone_faces_count_in_their_turn(index: VectorIndex) -> None:
    """Among the points, a GoneFaces counts where it stands; given apart, it counts last."""
    await index.apply([face(A, 1, 2), GoneFaces(A), face(A, 0, 1)])
    assert await faces_in(index) == {face_id_of(A, 0)}
    await index.apply([face(A, 0, 1)], [GoneFaces(A)])
    assert await faces_in(index) == set()


async def test_another_embedders_points_have_their_own_collection(index: VectorIndex) -> None:
    """They are kept, but neither counted nor found behind the alias."""
    await index.apply([face(A), face(B, embedder="arcface", vector=(1.0, 0.0, 0.0, 0.0))])
    assert await index.count() == 1
    assert await faces_in(index) == {face_id_of(A, 0)}
    assert [(one.name, one.points, one.alias) for one in await index.collections()] == [
        ("faces-arcface-4", 1, None),
        ("faces-sface-3", 1, "faces"),
    ]


async def test_who_only_looks_makes_no_folder(tmp_path: Path) -> None:
    """A misspelt QDRANT_PATH must not become an empty index."""
    with pytest.raises(IndexMismatch, match="is not there"):
        await open_index(tmp_path / "misspelt", read_only=True)
    assert not (tmp_path / "misspelt").exists()


async def test_opening_for_another_embedder_switches_the_alias(tmp_path: Path) -> None:
    """A collection that was filled side by side is the one in use after a restart for it."""
    old = await open_index(tmp_path)
    await old.apply([face(A), face(B, embedder="arcface", vector=(1.0, 0.0, 0.0, 0.0))])
    await old.close()
    new = await open_index(tmp_path, embedder="arcface", size=4)
    assert [(one.name, one.alias) for one in await new.collections()] == [
        ("faces-arcface-4", "faces"),
        ("faces-sface-3", None),
    ]
    assert [one.face_id for one in await new.nearest((1.0, 0.0, 0.0, 0.0), limit=5)] == [
        face_id_of(B, 0)
    ]
    await new.close()


async def test_nearest_is_ordered_limited_and_leaves_out_whom_it_is_told_to(
    index: VectorIndex,
) -> None:
    """By similarity, highest first; not the event itself, not the same user, not the distant."""
    await index.apply(
        [
            face(A, vector=X, user="ann"),
            face(B, vector=(0.8, 0.6, 0.0), user="bob", quality=0.9),
            face(C, vector=(0.6, 0.8, 0.0), user="ann"),
        ]
    )

    async def events(**criteria: str | float) -> list[str]:
        found = await index.nearest(X, **({"limit": 5} | criteria))  # type: ignore[arg-type]
        return [one.event_id for one in found]

    assert await events() == [A, B, C]
    assert await events(limit=2) == [A, B]
    assert await events(exclude_event_id=A) == [B, C]
    assert await events(exclude_user_id="ann") == [B]
    assert await events(exclude_event_id=B, exclude_user_id="ann") == []
    assert await events(min_similarity=0.7) == [A, B]
    [bob] = await index.nearest(X, limit=1, exclude_user_id="ann")
    assert (bob.user_id, bob.face_id) == ("bob", face_id_of(B, 0))
    assert bob.similarity == pytest.approx(0.8)
    assert bob.payload["quality"] == 0.9


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (face(A, 1, 1), "face_index"),
        (face(A, 0, 65), "face_count"),
        (face(A, vector=(float("nan"), 0, 0)), "finite"),
        (face(A, vector=(1e300, 0, 0)), "finite"),
        (face(A, vector=()), "empty"),
        (face(A, embedder="../x"), "embedder"),
        (FacePoint(B, A, "ann", 0, 1, X, "sface"), "face_id"),
        (FacePoint("x", A, "ann", 0, 1, X, "sface"), "UUID"),
        (FacePoint(A, "x", "ann", 0, 1, X, "sface"), "UUID"),
        (GoneFaces("x"), "UUID"),
    ],
)
async def test_a_bad_point_rejects_its_batch_untouched(
    index: VectorIndex, bad: FacePoint | GoneFaces, reason: str
) -> None:
    """What can never be stored is rejected with its reason; nothing of its batch is written."""
    with pytest.raises(IndexRejected, match=reason) as caught:
        await index.apply([face(C), bad])
    assert not caught.value.transient
    assert await index.count() == 0


async def test_questions_that_make_no_sense_are_rejected(index: VectorIndex) -> None:
    """A query of another length, an id that is no UUID."""
    with pytest.raises(IndexRejected):
        await index.nearest((1.0, 0.0), limit=1)
    with pytest.raises(IndexRejected):
        await index.get("not-a-uuid")


OTHER_PROCESS = """
import asyncio, pathlib, sys
from streams.index.vector_index import VectorIndex
asyncio.run(VectorIndex.open(
    url=None, api_key=None, path=pathlib.Path(sys.argv[1]), embedder="sface", embedding_size=3,
    face_id_of=lambda event_id, index: event_id))
print("open", flush=True)
sys.stdin.read()
"""


async def test_a_folder_in_use_by_another_process_is_busy_until_that_ends(tmp_path: Path) -> None:
    """The message names folder and process; when that process is killed, the folder is free."""
    with subprocess.Popen(  # noqa: ASYNC220 - waiting for its first line is all we do meanwhile
        [sys.executable, "-c", OTHER_PROCESS, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(IndexBusy, match=f"{tmp_path}.*process {other.pid}.*QDRANT_URL"):
            await open_index(tmp_path)
        other.send_signal(signal.SIGKILL)
    index = await open_index(tmp_path)
    await index.close()


async def test_a_folder_is_busy_within_one_process_too(index: VectorIndex, tmp_path: Path) -> None:
    """Two indexes on one folder would overwrite each other; the first stays usable."""
    with pytest.raises(IndexBusy):
        await open_index(tmp_path / "index")
    await index.ping()


async def test_a_cancelled_opening_frees_the_folder(tmp_path: Path) -> None:
    """Whoever stops waiting for `open` leaves no lock behind."""
    opening = asyncio.create_task(open_index(tmp_path))
    await asyncio.sleep(0)  # let it begin
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    async with asyncio.timeout(20):
        while True:
            try:
                index = await open_index(tmp_path)
                break
            except IndexBusy:
                continue
    await index.close()


@pytest.mark.parametrize("content", ["", "{", '{"collections": {"a": 1}, "aliases": {}}'])
async def test_a_damaged_folder_says_the_way_out(tmp_path: Path, content: str) -> None:
    """It is not opened, not overwritten, and not locked; the index can be rebuilt."""
    (tmp_path / "meta.json").write_text(content)
    with pytest.raises(IndexDamaged, match=r"move it away.*scored-face"):
        await open_index(tmp_path)
    assert (tmp_path / "meta.json").read_text() == content
    (tmp_path / "meta.json").unlink()
    await (await open_index(tmp_path)).close()


async def test_a_collection_made_for_other_vectors_is_a_mismatch(tmp_path: Path) -> None:
    """Nothing is written to it, and the message says how to go on."""
    await (await open_index(tmp_path)).close()
    meta = tmp_path / "meta.json"
    content = json.loads(meta.read_text())
    content["collections"]["faces-sface-3"]["vectors"]["size"] = 7
    meta.write_text(json.dumps(content))
    with pytest.raises(IndexMismatch, match=r"delete the collection.*scored-face") as caught:
        await open_index(tmp_path)
    assert not caught.value.transient


async def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    """The message names the folder and the operating system's reason."""
    (tmp_path / "file").touch()
    with pytest.raises(IndexUnavailable, match=r"file/index.*[Nn]ot a directory"):
        await open_index(tmp_path / "file" / "index")


async def test_an_index_is_a_server_or_a_folder(tmp_path: Path) -> None:
    """Neither or both is a mistake of the configuration."""
    for url, path in ((None, None), ("http://localhost", tmp_path)):
        with pytest.raises(ConfigurationError):
            await VectorIndex.open(
                url=url,
                api_key=None,
                path=path,
                embedder="sface",
                embedding_size=3,
                face_id_of=face_id_of,
            )


async def test_a_closed_index_says_so(tmp_path: Path) -> None:
    """Closing waits for what is under way, may be done twice, and ends all use."""
    index = await open_index(tmp_path)
    writing = asyncio.create_task(index.apply([face(A)]))
    await asyncio.sleep(0)  # let it begin
    await index.close()
    await index.close()
    await writing
    with pytest.raises(RuntimeError, match="closed"):
        await index.count()
    again = await open_index(tmp_path)
    assert await again.count() == 1
    await again.close()

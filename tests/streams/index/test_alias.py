"""The alias: created when it is missing, moved by a command only."""

from __future__ import annotations

from pathlib import Path

import pytest

import streams.index.alias
from streams.index.administration import move_alias, report_alias
from streams.index.errors import IndexBusy, IndexMismatch, IndexUnavailable
from streams.index.points import CollectionSummary
from tests.fakes import FakeLog
from tests.streams.index.examples import (
    COLLECTION,
    A,
    B,
    contract,
    face,
    folder_config,
    open_folder,
)
from tests.streams.index.fake_qdrant import Answer, FakeQdrant, refused

ARCFACE = contract("arcface", 4)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> FakeLog:
    log = FakeLog()
    monkeypatch.setattr(streams.index.alias, "log", log)
    return log


async def test_a_worker_leaves_an_alias_that_points_elsewhere(
    qdrant: FakeQdrant, log: FakeLog
) -> None:
    """The warning says where the alias points and which command moves it."""
    qdrant.alias_of = "faces-old-512"
    index = await qdrant.open()
    await index.close()
    assert qdrant.alias_of == "faces-old-512"
    assert qdrant.methods == {"GET"}
    [warning] = log.lines
    assert warning["level"] == "warning"
    assert (warning["alias"], warning["points_to"]) == ("faces", "faces-old-512")
    assert warning["collection"] == COLLECTION
    assert warning["move_with"] == "facestream index alias --move"


async def test_a_worker_warns_once_even_when_it_checks_the_index_again(
    qdrant: FakeQdrant, log: FakeLog
) -> None:
    """After an outage the collections are checked again."""
    qdrant.alias_of = "faces-newer-3"
    index = await qdrant.open()
    qdrant.override = lambda method, path: refused(503) if method == "PUT" else None
    with pytest.raises(IndexUnavailable):
        await index.apply([face(A)])
    qdrant.override = lambda method, path: None
    await index.apply([face(A)])
    await index.close()
    assert qdrant.alias_of == "faces-newer-3"
    assert len(log.lines) == 1


@pytest.mark.usefixtures("on_server")
def test_a_worker_does_not_warn_when_the_alias_is_in_place(log: FakeLog) -> None:
    assert log.lines == []


async def test_two_workers_may_create_the_alias_at_once(qdrant: FakeQdrant, log: FakeLog) -> None:
    """The server refuses the second; if the first has other models, the second warns."""
    qdrant.alias_of = None

    def already_there(method: str, path: str) -> Answer | None:
        if (method, path) == ("POST", "/collections/aliases"):
            qdrant.alias_of = "faces-newer-3"
            return refused(409, "already exists")
        return None

    qdrant.override = already_there
    index = await qdrant.open()
    await index.close()
    assert [line["points_to"] for line in log.lines] == ["faces-newer-3"]


async def test_an_alias_with_the_name_of_a_collection_is_a_mismatch(qdrant: FakeQdrant) -> None:
    """The message names the setting."""
    with pytest.raises(IndexMismatch, match="QDRANT_ALIAS"):
        await qdrant.open(alias=COLLECTION)


async def test_the_report_of_a_server_changes_nothing(qdrant: FakeQdrant) -> None:
    qdrant.alias_of = "faces-old-512"
    report = await report_alias(qdrant.config())
    assert (report.alias, report.points_to, report.expected) == (
        "faces",
        "faces-old-512",
        COLLECTION,
    )
    assert report.collections == (CollectionSummary(COLLECTION, 2),)
    assert {path for method, path, _ in qdrant.requests if method != "GET"} == {
        f"/collections/{COLLECTION}/points/count"
    }


async def test_the_alias_is_moved_in_one_request(qdrant: FakeQdrant) -> None:
    """Searches in between find the old collection or the new one, never none."""
    qdrant.alias_of = "faces-old-512"
    report = await move_alias(qdrant.config())
    [switch] = qdrant.sent("POST", "/collections/aliases")
    assert [next(iter(action)) for action in switch["actions"]] == ["delete_alias", "create_alias"]
    assert report.points_to == qdrant.alias_of == COLLECTION


async def test_moving_an_alias_in_place_changes_nothing(qdrant: FakeQdrant) -> None:
    await move_alias(qdrant.config())
    assert qdrant.sent("POST", "/collections/aliases") == []


async def test_the_alias_is_not_moved_to_a_missing_collection(qdrant: FakeQdrant) -> None:
    qdrant.exists, qdrant.alias_of = False, "faces-old-512"
    with pytest.raises(IndexMismatch, match=f"no collection {COLLECTION}"):
        await move_alias(qdrant.config())
    assert qdrant.alias_of == "faces-old-512"


async def test_the_alias_is_not_moved_to_a_collection_of_other_models(qdrant: FakeQdrant) -> None:
    """The workers with these models would refuse it too."""
    qdrant.metadata, qdrant.alias_of = None, "faces-old-512"
    with pytest.raises(IndexMismatch, match="does not say which models made it"):
        await move_alias(qdrant.config())
    assert qdrant.alias_of == "faces-old-512"


async def test_the_alias_of_a_folder_is_shown_and_moved(tmp_path: Path) -> None:
    """A worker with another embedder leaves the alias of an embedded index too."""
    old = await open_folder(tmp_path)
    await old.apply([face(A), face(B, embedder="arcface", vector=(1.0, 0.0, 0.0, 0.0))])
    await old.close()
    await (await open_folder(tmp_path, ARCFACE)).close()
    config = folder_config(tmp_path, ARCFACE)
    report = await report_alias(config)
    assert (report.points_to, report.expected) == (COLLECTION, "faces-arcface-4")
    assert report.collections == (
        CollectionSummary("faces-arcface-4", 1),
        CollectionSummary(COLLECTION, 1),
    )
    moved = await move_alias(config)
    assert moved.points_to == "faces-arcface-4"
    assert await report_alias(config) == moved


async def test_the_folder_of_a_running_worker_is_busy(tmp_path: Path) -> None:
    """The message names the process to stop; afterwards the command works."""
    worker = await open_folder(tmp_path)
    config = folder_config(tmp_path)
    with pytest.raises(IndexBusy, match="in use by process"):
        await move_alias(config)
    await worker.close()
    assert (await report_alias(config)).points_to == COLLECTION


async def test_a_folder_that_does_not_exist_is_not_created(tmp_path: Path) -> None:
    """A misspelt QDRANT_PATH does not become an empty index."""
    config = folder_config(tmp_path / "misspelt")
    for action in (report_alias, move_alias):
        with pytest.raises(IndexMismatch, match="does not exist"):
            await action(config)
    assert not (tmp_path / "misspelt").exists()

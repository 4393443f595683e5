"""Full disk under the embedded index: no face is lost, and indexing recovers by itself."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from qdrant_client import QdrantClient

from schemas.scored_face import face_id_of
from tests.integration.stack import Stack, running_stack, wait_until
from tools.chaos.clients import counting
from tools.chaos.load import Event, Load

EVENTS = 150

pytestmark = pytest.mark.skipif(
    not hasattr(resource, "prlimit"),
    reason=f"{sys.platform} cannot limit the file size of another process",
)


def _valid_events(count: int) -> list[Event]:
    load = Load(
        9, count * 2, False, "http://127.0.0.1:1/", bad_share=0, hang_share=0, claim_share=0
    )
    return [event for event in load.events() if event.faces == 1][:count]


async def _publish(stack: Stack, events: list[Event]) -> None:
    async with stack.producer() as producer:
        for event in events:
            await producer.send_and_wait(
                stack.topics.image_submitted,
                event.value,
                key=event.key,
                headers=list(event.headers),
            )


def _limit_file_size(pid: int, size: int) -> None:
    """Let writes beyond the size fail, as on a full disk; Python ignores SIGXFSZ."""
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))


@pytest.mark.parametrize("killed", [False, True], ids=["space comes back", "killed while full"])
async def test_a_full_disk_loses_no_face(killed: bool, tmp_path: Path) -> None:
    """Scoring continues; faces wait in their topic and are indexed once there is space again.

    A limit on the size of the worker's files (EFBIG) stands in for ENOSPC, as a test may not fill
    a disk. After a kill, the next worker can open the index.
    """
    events, index = _valid_events(2 * EVENTS), tmp_path / "index"
    with (
        running_stack(tmp_path, CHAOS_SCORER="instant", INFERENCE_THREADS="2") as stack,
        stack.worker(app="tools.chaos.app") as worker,
    ):
        assert worker.log_file is not None
        log = worker.log_file
        async with counting(stack.bootstrap_servers, stack.topics.scored_face) as answers:
            await _publish(stack, events[:EVENTS])
            await answers.reach(EVENTS, 60)
            _limit_file_size(worker.pid, await asyncio.to_thread(_stored_bytes, index))
            await _publish(stack, events[EVENTS:])
            await answers.reach(2 * EVENTS, 60)
        await _until(lambda: "index is unavailable" in log.read_text(), "the outage is logged")
        if killed:
            worker.kill()
            worker.start()
        else:
            _limit_file_size(worker.pid, resource.RLIM_INFINITY)
        await _until(lambda: _rows(index) == 2 * EVENTS, "all faces are indexed")
        assert await asyncio.to_thread(worker.stop, 60) == 0
    wanted = {str(face_id_of(event.event_id, 0)) for event in events if event.event_id}
    assert wanted == await asyncio.to_thread(_indexed, index)


def _stored_bytes(folder: Path) -> int:
    """Return the size of the index's largest file, once there are faces in it.

    SQLite appends new rows to its write-ahead log first.
    """

    def largest() -> int:
        return max((path.stat().st_size for path in folder.rglob("storage.sqlite*")), default=0)

    wait_until(lambda: largest() > 50_000, "the index has a file")
    return largest()


def _rows(folder: Path) -> int:
    """Count the points in the index's database, which its worker may be writing."""
    [database] = folder.rglob("storage.sqlite")
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5)) as connection:
        return int(connection.execute("SELECT count(*) FROM points").fetchone()[0])


def _indexed(folder: Path) -> set[str]:
    with closing(QdrantClient(path=str(folder))) as client:
        points, _ = client.scroll("faces", limit=10_000, with_payload=False)
        return {str(point.id) for point in points}


async def _until(condition: Callable[[], bool], what: str) -> None:
    await asyncio.to_thread(wait_until, condition, what)

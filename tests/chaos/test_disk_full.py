"""The disk under the embedded index is full: nothing is lost, and it recovers by itself."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from qdrant_client import QdrantClient

from schemas.scored_face import face_id_of
from tools.chaos.answers import counting
from tools.chaos.load import Event, Load
from tools.chaos.single import Single, single

EVENTS = 150

pytestmark = pytest.mark.skipif(
    not hasattr(resource, "prlimit"), reason=f"no file size limit from outside on {sys.platform}"
)


def _sound(count: int) -> list[Event]:
    load = Load(
        9, count * 2, False, "http://127.0.0.1:1/", bad_share=0, hang_share=0, claim_share=0
    )
    return [event for event in load.events() if event.faces == 1][:count]


async def _publish(one: Single, events: list[Event]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=one.broker.address, acks="all")
    await producer.start()
    try:
        for event in events:
            await producer.send_and_wait(
                one.topics.image_submitted, event.value, key=event.key, headers=list(event.headers)
            )
    finally:
        await producer.stop()


def _allow_files_of(pid: int, size: int) -> None:
    """A write beyond the size fails, as on a full disk; Python ignores the signal for it."""
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))


def _indexed(folder: Path) -> set[str]:
    client = QdrantClient(path=str(folder))
    try:
        points, _ = client.scroll("faces", limit=10_000, with_payload=False)
        return {str(point.id) for point in points}
    finally:
        client.close()


@pytest.mark.parametrize("killed", [False, True], ids=["space comes back", "killed while full"])
async def test_nothing_is_lost_while_the_disk_is_full(killed: bool, tmp_path: Path) -> None:
    """Scoring goes on, the faces wait in their topic, and are indexed once there is room.

    Room is taken away by a limit on the size of the worker's files (EFBIG, not ENOSPC: a test may
    not fill a disk). Killed while full, the next worker finds the folder sound.
    """
    events = _sound(2 * EVENTS)
    async with single(tmp_path, CHAOS_SCORER="instant", INFERENCE_THREADS="2") as one:
        log = tmp_path / "worker.log"
        one.worker.start()
        await asyncio.to_thread(one.worker.wait_ready, 60)
        async with counting(one.broker.address, one.topics.scored_face) as answers:
            await _publish(one, events[:EVENTS])
            await answers.reach(EVENTS, 60)
            _allow_files_of(one.worker.pid, await _stored_bytes(tmp_path / "index"))
            await _publish(one, events[EVENTS:])
            await answers.reach(2 * EVENTS, 60)
        await _until(lambda: "index is away" in log.read_text(), "the log says so")
        if killed:
            one.worker.kill()
            one.worker.start()
            await asyncio.to_thread(one.worker.wait_ready, 60)
        else:
            _allow_files_of(one.worker.pid, resource.RLIM_INFINITY)
        await _until(lambda: _rows(tmp_path / "index") == 2 * EVENTS, "all faces are indexed")
        assert await asyncio.to_thread(one.worker.stop, 60) == 0
        indexed = await asyncio.to_thread(_indexed, tmp_path / "index")
    wanted = {str(face_id_of(event.event_id, 0)) for event in events if event.event_id}
    assert wanted == indexed


async def _stored_bytes(folder: Path) -> int:
    """The size of the index's largest file, once it has something in it.

    What is new is appended to sqlite's write-ahead log first.
    """
    largest = 0

    def grown() -> bool:
        nonlocal largest
        largest = max((path.stat().st_size for path in folder.rglob("storage.sqlite*")), default=0)
        return largest > 50_000

    await _until(grown, "the index has a file")
    return largest


def _rows(folder: Path) -> int:
    """How many points the index's database holds; its owner may be writing."""
    [database] = folder.rglob("storage.sqlite")
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5)) as connection:
        return int(connection.execute("SELECT count(*) FROM points").fetchone()[0])


async def _until(condition: object, what: str, deadline_s: float = 60) -> None:
    assert callable(condition)
    try:
        async with asyncio.timeout(deadline_s):
            while not await asyncio.to_thread(condition):
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"not within {deadline_s:.0f} s: {what}") from None

"""A plain consumer with any scorer, as one would write it without facestream.

It needs only aiokafka and qdrant-client, so that it runs in a peer's own environment. It reads
``image-submitted``, scores, upserts into a local index and publishes ``scored-face``. It has none
of facestream's guarantees: a failing event stops it, and offsets are committed on a timer.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import traceback
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NotRequired, TypedDict

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, PointStruct, VectorParams

COLLECTION = "faces"
DIMENSION = 128
BATCH = 64


class FoundFace(TypedDict):
    """A face as a scorer returns it; ``bounding_box`` has the scorer's own form."""

    bounding_box: object
    embedding: list[float]
    detection_confidence: NotRequired[float]


Score = Callable[[bytes, int], list[FoundFace]]
"""Maps a picture and ``max_faces`` to its faces."""


def consumer_arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the options of every plain consumer."""
    parser.add_argument("--broker", required=True)
    parser.add_argument("--index", required=True, help="folder")
    parser.add_argument("--threads", type=int, default=0, help="0 for one event after the other")
    return parser


def consume(options: argparse.Namespace, score: Score) -> None:
    """Consume until killed."""
    asyncio.run(_consume(options, score))


async def _consume(options: argparse.Namespace, score: Score) -> None:
    index = QdrantClient(path=options.index, force_disable_check_same_thread=True)
    index.create_collection(
        COLLECTION, vectors_config=VectorParams(size=DIMENSION, distance=Distance.COSINE)
    )
    consumer = AIOKafkaConsumer(
        "image-submitted",
        bootstrap_servers=options.broker,
        group_id="plain",
        auto_offset_reset="earliest",
        session_timeout_ms=4000,
        heartbeat_interval_ms=400,
    )
    producer = AIOKafkaProducer(bootstrap_servers=options.broker, acks="all")
    await consumer.start()
    await producer.start()
    if options.threads:
        await _with_threads(consumer, producer, index, score, options.threads)
    else:
        await _one_by_one(consumer, producer, index, score)


@dataclass(frozen=True)
class Event:
    """The fields of an image-submitted event that a plain consumer reads."""

    event_id: str
    user_id: str
    image: bytes
    max_faces: int


def parsed(value: bytes) -> Event:
    """Parse the value of a message."""
    event = json.loads(value)
    return Event(
        event["event_id"],
        event["user_id"],
        base64.b64decode(event["image_base64"]),
        event["max_faces"],
    )


async def _one_by_one(
    consumer: AIOKafkaConsumer, producer: AIOKafkaProducer, index: QdrantClient, score: Score
) -> None:
    async for message in consumer:
        event = parsed(message.value)
        faces = score(event.image, event.max_faces)
        if faces:
            index.upsert(COLLECTION, points_of(event, faces))
        for answer in answers_of(event, faces):
            await producer.send_and_wait("scored-face", answer, key=event.user_id.encode())


async def _with_threads(
    consumer: AIOKafkaConsumer,
    producer: AIOKafkaProducer,
    index: QdrantClient,
    score: Score,
    threads: int,
) -> None:
    pool, loop = ThreadPoolExecutor(threads), asyncio.get_running_loop()
    upsert = _batches(index)
    slots = asyncio.Semaphore(4 * threads)
    running: set[asyncio.Task[None]] = set()

    def work(value: bytes) -> tuple[Event, list[FoundFace], list[bytes]]:
        event = parsed(value)
        faces = score(event.image, event.max_faces)
        return event, faces, answers_of(event, faces)

    async def handle(value: bytes) -> None:
        try:
            event, faces, answers = await loop.run_in_executor(pool, work, value)
            await upsert(points_of(event, faces))
            key = event.user_id.encode()
            await asyncio.gather(
                *(producer.send_and_wait("scored-face", answer, key=key) for answer in answers)
            )
        finally:
            slots.release()

    async for message in consumer:
        await slots.acquire()
        task = asyncio.create_task(handle(message.value))
        running.add(task)
        task.add_done_callback(running.discard)
        task.add_done_callback(_exit_on_error)


def _exit_on_error(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        traceback.print_exception(error)
        os._exit(1)


def _batches(index: QdrantClient) -> Callable[[list[PointStruct]], Awaitable[None]]:
    """Upsert in one thread whatever arrived during the previous upsert."""
    writer = ThreadPoolExecutor(1)
    queue = asyncio.Queue[tuple[list[PointStruct], asyncio.Future[None]]]()

    async def write() -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = [await queue.get()]
            while len(batch) < BATCH and not queue.empty():
                batch.append(queue.get_nowait())
            points = [point for some, _ in batch for point in some]
            if points:
                await loop.run_in_executor(writer, index.upsert, COLLECTION, points)
            for _, written in batch:
                written.set_result(None)

    task: asyncio.Task[None] | None = None

    async def upsert(points: list[PointStruct]) -> None:
        nonlocal task
        task = task or asyncio.create_task(write())
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.put_nowait((points, written))
        await written

    return upsert


def points_of(event: Event, faces: list[FoundFace]) -> list[PointStruct]:
    """Create the points of an event's faces."""
    return [
        PointStruct(
            id=_face_id(event, number),
            vector=face["embedding"],
            payload={"user_id": event.user_id, "event_id": event.event_id},
        )
        for number, face in enumerate(faces)
    ]


def answers_of(event: Event, faces: list[FoundFace]) -> list[bytes]:
    """Create a scored-face message per face, with few of its fields; one if there is no face."""
    common = {"event_id": event.event_id, "user_id": event.user_id, "face_count": len(faces)}
    answers = [
        {**common, "face_id": _face_id(event, number), "face_index": number, **face}
        for number, face in enumerate(faces)
    ]
    return [json.dumps(answer).encode() for answer in answers or [common]]


def _face_id(event: Event, number: int) -> str:
    return str(uuid.uuid5(uuid.UUID(event.event_id), str(number)))

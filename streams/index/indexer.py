"""What happens to scored-face events: batches of points for the index.

One batch is written at a time, in the order of arrival, so that a later score of a face never loses
to an earlier one. While the index is away the batch is tried again for as long as it takes; scoring
goes on meanwhile, and ``scored-face`` is the buffer.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from uuid import UUID

import structlog

from models.pipeline import FacePipeline
from models.quality.formulas import FORMULA_VERSION
from schemas.codec import decode_scored_face
from schemas.errors import InvalidEvent
from schemas.fallback import FallbackReason
from schemas.scored_face import ScoredFace
from streams.config.settings import Settings
from streams.dead_letters import Failure, fallback_message, keep
from streams.engine.publishing import pause
from streams.index.vector_index import (
    FacePoint,
    GoneFaces,
    IndexRejected,
    IndexUnavailable,
    ModelContract,
    VectorIndex,
)
from streams.messages import Incoming, Outgoing
from streams.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

log = structlog.get_logger(__name__)

#: How long a batch waits for company: a batch costs as much as the points of several.
LINGER_S = 0.05
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 10.0
#: A server may ask for a longer wait than that, but not for hours.
LONGEST_ASKED_S = 30.0
#: Of a pause, before health is told that it is one.
LONGEST_SILENCE_S = 5.0

#: Verdicts of the models: the event has no face (any more), so it must have no points either.
#: Other reasons say nothing about the picture, and leave what an earlier delivery indexed.
NO_FACES = frozenset({FallbackReason.NO_FACE, FallbackReason.LOW_CONFIDENCE})


@dataclass(frozen=True, slots=True)
class _Entry:
    change: FacePoint | GoneFaces
    written: asyncio.Future[None]


class Indexer:
    """Gathers scored faces into batches and writes them until they are written."""

    def __init__(
        self,
        index: Callable[[], Awaitable[VectorIndex]],
        *,
        fallback_topic: str,
        batch: int,
        publish: Callable[[Sequence[Outgoing]], Awaitable[None]],
        is_leaving: Callable[[], bool],
        metrics: Metrics,
        on_wait: Callable[[], None] = lambda: None,
    ) -> None:
        """``on_wait`` is told of every attempt on an index that is away."""
        self._index = index
        self._on_wait = on_wait
        self._fallback_topic = fallback_topic
        self._batch = batch
        self._publish = publish
        self._is_leaving = is_leaving
        self._metrics = metrics
        self._queue: asyncio.Queue[_Entry] = asyncio.Queue()

    async def handle(self, incoming: Incoming) -> None:
        """Return when the event's effect on the index is stored.

        Raises ``Abandoned`` when the worker is leaving while the index is away.
        """
        try:
            face = decode_scored_face(incoming.value)
        except InvalidEvent as error:
            await self._reject(incoming, f"not a scored-face event: {error}")
            return
        change = change_for(face)
        if change is None:
            return
        entry = _Entry(change, asyncio.get_running_loop().create_future())
        self._queue.put_nowait(entry)
        try:
            await entry.written
            self._metrics.operation("index", "success")
        except IndexRejected as error:
            await self._reject(incoming, f"refused by the index: {error}")

    async def run(self) -> None:
        """Write batches until cancelled."""
        while True:
            batch = [await self._queue.get()]
            if self._queue.empty():
                await asyncio.sleep(LINGER_S)
            while len(batch) < self._batch and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            # What was let go of meanwhile is somebody else's now.
            batch = [entry for entry in batch if not entry.written.done()]
            if batch:
                await self._write(batch)

    async def _write(self, batch: list[_Entry]) -> None:
        try:
            await self._apply([entry.change for entry in batch])
        except IndexRejected as error:
            if len(batch) == 1:
                _resolve(batch, error)
                return
            # One of them is refused: find it by writing each alone.
            for entry in batch:
                await self._write([entry])
        except Exception as error:
            _resolve(batch, error)
        else:
            _resolve(batch, None)

    async def _apply(self, changes: Sequence[FacePoint | GoneFaces]) -> None:
        """Write with growing waits while the index is away."""
        wait = FIRST_WAIT_S
        while True:
            try:
                index = await self._wait_for_index()
                started = time.perf_counter()
                await index.apply(changes)
                self._metrics.index_write(time.perf_counter() - started)
                return
            except IndexUnavailable as error:
                next_try_s = max(wait, min(error.retry_after_s or 0, LONGEST_ASKED_S))
                log.warning(
                    "index is away; trying again",
                    reason=str(error),
                    faces=len(changes),
                    next_try_s=next_try_s,
                )
            await self._wait_out(next_try_s)
            self._metrics.retry("index")
            wait = min(wait * 2, LONGEST_WAIT_S)

    async def _wait_out(self, seconds: float) -> None:
        """Health must not take a long pause for a worker that has stalled."""
        while True:
            self._on_wait()
            piece = min(seconds, LONGEST_SILENCE_S)
            await pause(piece, self._is_leaving)
            seconds -= piece
            if seconds <= 0:
                return

    async def _wait_for_index(self) -> VectorIndex:
        """The index, or ``Abandoned`` when the worker leaves before it is open."""
        opening = asyncio.ensure_future(self._index())
        try:
            while not opening.done():
                await asyncio.wait({opening}, timeout=0.1)
                if not opening.done():
                    self._on_wait()
                    await pause(0, self._is_leaving)
            return opening.result()
        finally:
            opening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await opening

    async def _reject(self, incoming: Incoming, detail: str) -> None:
        log.error(
            "face cannot be indexed; kept in the fallback topic",
            detail=detail,
            partition=incoming.partition,
            offset=incoming.offset,
        )
        failure = Failure(FallbackReason.INVALID_EVENT, detail)
        self._metrics.operation("index", "rejected")
        self._metrics.fallback(failure.reason)
        letter = fallback_message(incoming, failure, self._fallback_topic)
        await keep(self._publish, letter, incoming)


def change_for(face: ScoredFace) -> FacePoint | GoneFaces | None:
    """What a scored-face event changes in the index, if anything."""
    if face.provenance == "simulated":
        gone = face.fallback_reason in NO_FACES
        return GoneFaces(event_id=str(face.event_id)) if gone else None
    assert face.model is not None
    return FacePoint(
        face_id=str(face.face_id),
        event_id=str(face.event_id),
        user_id=face.user_id,
        face_index=face.face_index,
        face_count=face.face_count,
        vector=face.embedding,
        embedder=face.model.embedder,
        payload={
            "quality": face.quality,
            "confidence": face.confidence,
            "image_sha256": face.image_sha256,
            "scored_at": face.scored_at.isoformat(),
            "formula_version": face.formula_version,
            "embedder_sha256": face.model.embedder_sha256,
        },
        contract=ModelContract(
            detector=face.model.detector,
            detector_sha256=face.model.detector_sha256,
            embedder=face.model.embedder,
            embedder_sha256=face.model.embedder_sha256,
            embedding_size=face.embedding_size,
            formula_version=face.formula_version,
        ),
    )


def contract_of(pipeline: FacePipeline) -> ModelContract:
    """What the models at work write into an index."""
    return ModelContract(
        detector=pipeline.detector.name,
        detector_sha256=pipeline.detector.sha256,
        embedder=pipeline.embedder.name,
        embedder_sha256=pipeline.embedder.sha256,
        embedding_size=pipeline.embedder.dimension,
        formula_version=str(FORMULA_VERSION),
    )


async def open_index(
    settings: Settings, contract: ModelContract, *, read_only: bool = False
) -> VectorIndex:
    """The index of the settings, for these models. Raises what ``VectorIndex.open`` raises."""
    key = settings.qdrant_api_key
    return await VectorIndex.open(
        url=settings.qdrant_url,
        api_key=key.get_secret_value() if key else None,
        path=None if settings.qdrant_url else settings.qdrant_path,
        embedder=contract.embedder,
        embedding_size=contract.embedding_size,
        contract=contract,
        alias=settings.qdrant_alias,
        timeout_s=settings.qdrant_timeout_s,
        replication_factor=settings.qdrant_replication,
        shard_number=settings.qdrant_shards,
        face_id_of=index_face_id,
        read_only=read_only,
    )


def index_face_id(event_id: str, face_index: int) -> str:
    """``face_id_of`` in the index's terms (strings), and an order of magnitude faster.

    A batch asks for several ids of each of its events. Raises ``ValueError`` for an event id
    that is no UUID.
    """
    digest = _hash_of_namespace(event_id).copy()
    digest.update(str(face_index).encode())
    number = int.from_bytes(digest.digest()[:16], "big")
    text = f"{number & _UUID_BITS | _UUID_VERSION_5:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


#: Everything but version and variant, and the two of them for UUIDv5 (RFC 9562, section 5.5).
_UUID_BITS = ~((0xF << 76) | (0x3 << 62)) & ((1 << 128) - 1)
_UUID_VERSION_5 = (5 << 76) | (2 << 62)


@lru_cache(maxsize=256)
def _hash_of_namespace(event_id: str) -> Hash:
    return hashlib.sha1(UUID(event_id).bytes, usedforsecurity=False)


def _resolve(batch: Sequence[_Entry], error: Exception | None) -> None:
    for entry in batch:
        if entry.written.done():
            continue
        if error is None:
            entry.written.set_result(None)
        else:
            entry.written.set_exception(error)

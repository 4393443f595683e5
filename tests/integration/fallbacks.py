"""Simulated answers and fallbacks: create them, and count dead letters, log lines and metrics."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import UUID

from schemas.fallback import FallbackReason
from schemas.image_submitted import ImageSubmitted
from schemas.scored_face import ScoredFace, face_id_of
from streams.local.worker_process import WorkerProcess
from tests.integration.stack import Stack, answers_for, log_of
from tests.metrics_page import metrics_of


def simulated_face(
    event_id: UUID, index: int = 0, count: int = 1, user_id: str = "ada"
) -> ScoredFace:
    """Create a face with simulated scores."""
    return ScoredFace(
        event_id=event_id,
        face_id=face_id_of(event_id, index),
        user_id=user_id,
        face_index=index,
        face_count=count,
        embedding=(),
        embedding_size=0,
        quality=0.5,
        frontality=0.5,
        symmetry=0.5,
        resolution=0.5,
        confidence=0.5,
        formula_version="simulated-1",
        provenance="simulated",
        fallback_reason=FallbackReason.NO_FACE,
        scored_at=datetime.now(UTC),
    )


async def answered(stack: Stack, *events: ImageSubmitted) -> dict[UUID, ScoredFace]:
    """Submit the events and return the first face of each answer."""
    async with stack.submitter() as submitter:
        for event in events:
            await submitter.submit(event, media_type="image/jpeg")
    async with stack.reader(stack.topics.scored_face) as reader:
        answers = await answers_for(reader, {event.event_id for event in events})
    return {event_id: faces[0] for event_id, faces in answers.items()}


async def dead_letter_reasons(stack: Stack) -> list[str]:
    """Return the reasons of all dead letters so far."""
    async with stack.reader(stack.topics.simulated_fallback) as reader:
        return [
            dict(record.headers)["fallback_reason"].decode()
            async for record in reader.records(follow=False)
        ]


def logged(worker: WorkerProcess, event: str) -> list[dict[str, object]]:
    """Return the log lines of one event."""
    lines = [line for line in log_of(worker).splitlines() if line.startswith("{")]
    return [line for line in map(json.loads, lines) if line.get("event") == event]


async def assert_fallbacks(
    stack: Stack, worker: WorkerProcess, reason: FallbackReason, times: int
) -> None:
    """Check the number of dead letters, log lines and counted fallbacks."""
    assert [reason.value] * times == await dead_letter_reasons(stack)
    assert [reason.value] * times == [line["reason"] for line in logged(worker, "event falls back")]
    assert times == metrics_of(worker)["facestream_fallbacks_total", reason.value]

"""Submit events and count their fallbacks: dead letters, log lines and metrics."""

from __future__ import annotations

import json
from uuid import UUID

from schemas.fallback import FallbackReason
from schemas.image_submitted import ImageSubmitted
from schemas.scored_face import ScoredFace
from streams.local.worker_process import WorkerProcess
from tests.integration.stack import Stack, answers_for
from tests.metrics_page import metrics_of


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
    assert worker.log_file is not None
    lines = [line for line in worker.log_file.read_text().splitlines() if line.startswith("{")]
    return [line for line in map(json.loads, lines) if line.get("event") == event]


async def assert_fallbacks(
    stack: Stack, worker: WorkerProcess, reason: FallbackReason, times: int
) -> None:
    """Check the number of dead letters, log lines and counted fallbacks."""
    assert [reason.value] * times == await dead_letter_reasons(stack)
    assert [reason.value] * times == [line["reason"] for line in logged(worker, "event falls back")]
    assert times == metrics_of(worker)["facestream_fallbacks_total", reason.value]

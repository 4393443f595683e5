"""image-submitted → scored-face, or simulated-fallback."""

from __future__ import annotations

import time
from typing import Any

import structlog

from streams.app import app
from streams.dead_letters import keep
from streams.engine.delivery import RawSchema
from streams.engine.publishing import UnpublishableMessage
from streams.inference.result_batches import MOST_TOGETHER
from streams.kafka.topics import topic_names
from streams.messages import Incoming
from streams.scoring.scorer import Scorer
from streams.scoring.shadow import ShadowScorer

log = structlog.get_logger(__name__)

runtime = app.runtime
topics = topic_names(app.settings)
metrics = runtime.metrics


async def answer(incoming: Incoming) -> None:
    """Publish an event's answers, and its shadow; return when the broker has them."""
    await runtime.models_ready()
    messages = await scorer.answers(incoming)
    scored = time.perf_counter()
    try:
        await runtime.publisher.publish(messages)
    except UnpublishableMessage as error:
        if messages[0].topic == topics.simulated_fallback:
            letter = messages[0]
        else:
            letter = scorer.too_large_to_answer(incoming, error)
        await keep(runtime.publisher.publish, letter, incoming)
    metrics.stage("publish", time.perf_counter() - scored)
    if incoming.timestamp:
        metrics.stage("total", time.time() - incoming.timestamp)
    # After the answer, so that nobody waits for a shadow.
    shadows = await shadow.records(incoming, messages)
    if not shadows:
        return
    try:
        await runtime.publisher.publish(shadows)
    except UnpublishableMessage as error:
        # The event is answered all the same.
        log.warning(
            "shadow cannot be published; left out",
            problem=str(error),
            partition=incoming.partition,
            offset=incoming.offset,
        )
        metrics.operation("shadow", "failure")


# Results wait for each other while as many attempts wait for a thread. Where pictures are fetched,
# four a thread keep every thread busy meanwhile.
threads = app.settings.threads
window = runtime.window(
    topics.image_submitted, answer, concurrency=max(2 * MOST_TOGETHER + threads, 4 * threads)
)

scorer = Scorer(
    app.settings,
    topics,
    runtime.pool,
    runtime.images,
    runtime.assignment.is_leaving,
    circuit=runtime.circuit,
    metrics=metrics,
    on_wait=window.note_waiting,
)
shadow = ShadowScorer(
    topics,
    scorer,
    runtime.pool,
    enabled=app.settings.shadow_ml,
    circuit=runtime.circuit,
    metrics=metrics,
)


@app.agent(app.topic(topics.image_submitted, schema=RawSchema()), name="score-faces")
async def score_faces(stream: Any) -> None:
    """Score each picture; the window acknowledges."""
    await window.feed(stream.noack().events())

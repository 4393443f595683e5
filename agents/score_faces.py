"""Scores pictures: ``image-submitted`` → ``scored-face``, or ``simulated-fallback``."""

from __future__ import annotations

from typing import Any

from streams.app import app
from streams.engine.delivery import RawSchema
from streams.inference.result_batches import MAX_BATCH
from streams.kafka.topics import topic_names
from streams.messages import Incoming
from streams.scoring.handler import ScoringHandler
from streams.scoring.scorer import Scorer
from streams.scoring.shadow import ShadowScorer

runtime = app.runtime
topics = topic_names(app.settings)


async def handle(incoming: Incoming) -> None:
    """Answer one event, once the models are loaded."""
    await runtime.models_ready()
    await handler.handle(incoming)


# Enough events to fill one batch of results while the next is scored, and at least four per thread,
# because some events wait for their picture to be fetched.
threads = app.settings.threads
window = runtime.window(
    topics.image_submitted, handle, concurrency=max(2 * MAX_BATCH + threads, 4 * threads)
)

scorer = Scorer(
    app.settings,
    runtime.pool,
    runtime.images,
    circuit=runtime.circuit,
    is_leaving=runtime.assignment.is_leaving,
    on_wait=window.note_waiting,
)
shadow = ShadowScorer(
    topics.shadow_scored,
    runtime.pool,
    scorer.pictures,
    circuit=runtime.circuit,
    is_leaving=runtime.assignment.is_leaving,
)
handler = ScoringHandler(
    scorer,
    shadow,
    runtime.publisher.publish,
    fallback_topic=topics.simulated_fallback,
    metrics=runtime.metrics,
)


@app.agent(app.topic(topics.image_submitted, schema=RawSchema()), name="score-faces")
async def score_faces(stream: Any) -> None:
    """Score each picture; the window acknowledges."""
    await window.feed(stream.noack().events())

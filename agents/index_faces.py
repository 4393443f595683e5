"""scored-face → Qdrant."""

from __future__ import annotations

from typing import Any

from streams.app import app
from streams.engine.delivery import RawSchema
from streams.index.indexer import Indexer
from streams.kafka.topics import topic_names
from streams.messages import Incoming

runtime = app.runtime
topics = topic_names(app.settings)


async def index(incoming: Incoming) -> None:
    """Return when the event's face is stored."""
    await indexer.handle(incoming)


# All that is held may wait for the batch writer; the window's bounds are the limit.
window = runtime.window(topics.scored_face, index, concurrency=max(app.settings.in_flight, 256))

indexer = Indexer(
    runtime.index,
    fallback_topic=topics.simulated_fallback,
    batch=app.settings.index_batch,
    publish=runtime.publisher.publish,
    is_leaving=runtime.assignment.is_leaving,
    metrics=runtime.metrics,
    on_wait=window.note_waiting,
)


@app.agent(app.topic(topics.scored_face, schema=RawSchema()), name="index-faces")
async def index_faces(stream: Any) -> None:
    """Index each real face; the window acknowledges."""
    await window.feed(stream.noack().events())


@app.task
async def write_batches() -> None:
    """Write what the agent gathers."""
    await indexer.run()

"""Consumes ``scored-face`` and keeps the vector index up to date."""

from __future__ import annotations

from typing import Any

from streams.app import app
from streams.engine.delivery import RawSchema
from streams.index.batch_writer import BatchWriter
from streams.index.indexer import Indexer
from streams.kafka.topics import topic_names
from streams.messages import Incoming
from streams.runtime import EVENTS_PER_THREAD

runtime = app.runtime
topics = topic_names(app.settings)


async def index(incoming: Incoming) -> None:
    """Index one event; return when that is stored, or its dead letter is published."""
    await indexer.handle(incoming)


# All events in the window may wait for the batch writer; the window's size is the limit.
window = runtime.window(
    topics.scored_face, index, concurrency=max(EVENTS_PER_THREAD * app.settings.threads, 256)
)

writer = BatchWriter(
    runtime.index,
    is_leaving=runtime.assignment.is_leaving,
    metrics=runtime.metrics,
    on_wait=window.note_waiting,
)

indexer = Indexer(
    writer,
    fallback_topic=topics.simulated_fallback,
    publish=runtime.publisher.publish,
    metrics=runtime.metrics,
)


@app.agent(app.topic(topics.scored_face, schema=RawSchema()), name="index-faces")
async def index_faces(stream: Any) -> None:
    """Index each real face; the window acknowledges."""
    await window.feed(stream.noack().events())


@app.task
async def write_batches() -> None:
    """Write the changes that the agent gathers."""
    await writer.run()

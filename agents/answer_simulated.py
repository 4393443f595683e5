"""Answers dead letters: ``simulated-fallback`` → ``scored-face``, marked simulated."""

from __future__ import annotations

from functools import cache
from typing import Any

from streams.app import app
from streams.engine.delivery import RawSchema
from streams.kafka.topics import topic_names
from streams.messages import Incoming
from streams.scoring.simulated_answers import SimulatedAnswers, SimulatedHandler

runtime = app.runtime
topics = topic_names(app.settings)


@cache
def answers() -> SimulatedAnswers:
    """Build the answerer once the models are loaded: simulated embeddings have their size."""
    return SimulatedAnswers(
        topics,
        enabled=app.settings.fallback_to_simulated,
        embedding_size=runtime.pool.pipeline.embedder.dimension,
        legacy_results=app.settings.result_format == "legacy",
    )


handler = SimulatedHandler(answers, runtime.publisher.publish, runtime.metrics)


async def handle(incoming: Incoming) -> None:
    """Answer one dead letter, once the models are loaded."""
    await runtime.models_ready()
    await handler.handle(incoming)


window = runtime.window(topics.simulated_fallback, handle, concurrency=64)


@app.agent(app.topic(topics.simulated_fallback, schema=RawSchema()), name="answer-simulated")
async def answer_simulated(stream: Any) -> None:
    """Answer each dead letter; the window acknowledges."""
    await window.feed(stream.noack().events())

"""simulated-fallback → scored-face, marked simulated."""

from __future__ import annotations

from functools import cache
from typing import Any

import structlog

from streams.app import app
from streams.engine.delivery import RawSchema
from streams.engine.publishing import UnpublishableMessage
from streams.kafka.topics import topic_names
from streams.messages import Incoming
from streams.scoring.simulated_answers import SimulatedAnswers

log = structlog.get_logger(__name__)

runtime = app.runtime
topics = topic_names(app.settings)


@cache
def answers() -> SimulatedAnswers:
    """Built once the models are known, whose embedding size the simulated ones follow."""
    return SimulatedAnswers(
        topics,
        enabled=app.settings.fallback_to_simulated,
        embedding_size=runtime.pool.pipeline.embedder.dimension,
        legacy_results=app.settings.result_format == "legacy",
    )


async def answer(incoming: Incoming) -> None:
    """Publish the simulated answer of a dead letter; return when the broker has it."""
    await runtime.models_ready()
    messages = answers().answers(incoming)
    try:
        await runtime.publisher.publish(messages)
    except UnpublishableMessage as error:
        # Its metadata leave no room for scores. It is kept where it is, in the fallback topic.
        log.warning(
            "dead letter cannot be answered; kept",
            problem=str(error),
            partition=incoming.partition,
            offset=incoming.offset,
        )
        runtime.metrics.operation("simulated", "failure")
    else:
        # Nobody to answer, or answers are off: nothing was simulated.
        runtime.metrics.operation("simulated", "success" if messages else "rejected")


window = runtime.window(topics.simulated_fallback, answer, concurrency=64)


@app.agent(app.topic(topics.simulated_fallback, schema=RawSchema()), name="answer-simulated")
async def answer_simulated(stream: Any) -> None:
    """Answer each dead letter; the window acknowledges."""
    await window.feed(stream.noack().events())

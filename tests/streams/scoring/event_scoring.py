"""Score single events with a fake or real pool, and read what they become."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any
from uuid import UUID

from schemas.fallback import FallbackHeaders
from streams.config.settings import Settings, load_settings
from streams.dead_letters import fallback_message
from streams.inference.circuit import Circuit
from streams.messages import Incoming, Outgoing
from streams.scoring.outcome import FellBack
from streams.scoring.scorer import Scorer
from streams.telemetry.handling import Handling
from streams.telemetry.metrics import Metrics
from tests.fakes import FakeImages
from tools.pictures import portrait_bytes

EVENT_ID = UUID("3f2b8c1e-9c1d-4f5e-8a44-0c9f6f3f7a10")


DIGEST = hashlib.sha256(portrait_bytes()).hexdigest()


URI = "s3://pictures/1.jpg"


def settings(**changes: Any) -> Settings:
    """Allow three attempts without waits between them."""
    return load_settings(**{"ml_attempts": 3, "ml_backoff_ms": 0, **changes})


def scorer(pool: Any, images: Any = None, *, leaving: bool = False, **changes: Any) -> Scorer:
    """Make a scorer whose circuit never opens. ``changes``: settings."""
    chosen = settings(**changes)
    store: Any = images or FakeImages()
    return Scorer(
        chosen,
        pool,
        store,
        circuit=Circuit(threshold=0, window=1, minimum=1),
        is_leaving=lambda: leaving,
    )


async def answers(one: Scorer, message: Incoming) -> list[Outgoing]:
    """Return the messages to publish for an event: its faces, or its dead letter."""
    outcome = await one.score(message, Handling(message, Metrics()))
    if isinstance(outcome, FellBack):
        return [fallback_message(message, outcome.failure, "simulated-fallback")]
    return list(outcome.faces)


def event(image: bytes | None = None, **fields: Any) -> bytes:
    """Return the value of an event in JSON."""
    picture = {} if image is None else {"image_base64": base64.b64encode(image).decode()}
    return json.dumps(
        {"event_id": str(EVENT_ID), "user_id": "user-1", **picture, **fields}
    ).encode()


def failure_of(sent: list[Outgoing]) -> FallbackHeaders:
    """Return the failure of the one dead letter."""
    (letter,) = sent
    assert letter.topic == "simulated-fallback"
    return FallbackHeaders.from_headers(letter.headers)

"""Handling an event: which messages are published and what is counted."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.fallback import FallbackHeaders, FallbackReason
from streams.dead_letters import Failure
from streams.engine.publishing import UnpublishableMessage
from streams.messages import Incoming, Outgoing
from streams.scoring.handler import ScoringHandler
from streams.scoring.outcome import FellBack, Scored
from streams.telemetry.handling import Handling
from streams.telemetry.metrics import Metrics
from tests.fakes import FakePublisher, incoming
from tests.metrics_page import series_of

FACE = Outgoing("scored-face", b"user", b"face", [])
SHADOW = Outgoing("shadow-scored", b"", b"x" * 100, [])
NO_FACE = FellBack(Failure(FallbackReason.NO_FACE, "no face", 1), None)


class Scores:
    """A scorer with one outcome."""

    def __init__(self, outcome: Scored | FellBack) -> None:
        self._outcome = outcome

    async def score(self, incoming: Incoming, handling: Handling) -> Scored | FellBack:
        """Return the outcome."""
        return self._outcome


class Shadows:
    """A shadow scorer with the same shadow for every event."""

    def __init__(self, *messages: Outgoing) -> None:
        self._messages = list(messages)

    async def messages(
        self, outcome: FellBack, incoming: Incoming, handling: Handling
    ) -> list[Outgoing]:
        """Return the shadow."""
        return self._messages


class RefusingPublisher(FakePublisher):
    """Refuses messages of one topic as too large, for the first ``times`` times."""

    def __init__(self, topic: str, times: int = 10**9) -> None:
        super().__init__()
        self._topic = topic
        self._times = times

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        """Publish, or refuse."""
        if self._times and any(message.topic == self._topic for message in messages):
            self._times -= 1
            raise UnpublishableMessage("too large")
        await super().publish(messages)


async def handled(
    outcome: Scored | FellBack, publisher: FakePublisher, *shadow: Outgoing
) -> Metrics:
    """Handle one event and return the metrics."""
    metrics = Metrics()
    handler = ScoringHandler(
        Scores(outcome),
        Shadows(*shadow),
        publisher.publish,
        fallback_topic="simulated-fallback",
        metrics=metrics,
    )
    await handler.handle(incoming(b"event", timestamp=1.0))
    return metrics


async def test_the_faces_of_a_scored_event_are_published() -> None:
    """They have no shadow; the stages after scoring are measured."""
    publisher = FakePublisher()
    metrics = await handled(Scored((FACE, FACE)), publisher, SHADOW)
    assert publisher.published == [FACE, FACE]
    series = series_of(metrics.registry.collect())
    for stage in ("publish", "total"):
        assert series["facestream_stage_duration_seconds_count", stage] == 1


async def test_an_event_that_fell_back_becomes_a_dead_letter_and_has_a_shadow() -> None:
    """The dead letter comes first, and the fallback is counted once."""
    publisher = FakePublisher()
    metrics = await handled(NO_FACE, publisher, SHADOW)
    letter, shadow = publisher.published
    assert (letter.topic, letter.value) == ("simulated-fallback", b"event")
    assert FallbackHeaders.from_headers(letter.headers).fallback_reason is FallbackReason.NO_FACE
    assert shadow == SHADOW
    assert series_of(metrics.registry.collect())["facestream_fallbacks_total", "no_face"] == 1


async def test_an_event_whose_answer_is_too_large_becomes_a_dead_letter() -> None:
    """Raising the error would stop every worker in turn."""
    publisher = RefusingPublisher("scored-face")
    metrics = await handled(Scored((FACE,)), publisher)
    (letter,) = publisher.published
    failure = FallbackHeaders.from_headers(letter.headers)
    assert failure.fallback_reason is FallbackReason.INVALID_EVENT
    assert "too large" in failure.fallback_detail
    assert letter.value == b"event"
    assert series_of(metrics.registry.collect())["facestream_fallbacks_total", "invalid_event"] == 1


async def test_a_dead_letter_that_is_too_large_is_kept_without_its_value() -> None:
    """Its headers name the source where the event stays."""
    publisher = RefusingPublisher("simulated-fallback", times=1)
    await handled(NO_FACE, publisher)
    (kept,) = publisher.published
    assert (kept.key, kept.value) == (b"user-1", b"")
    failure = FallbackHeaders.from_headers(kept.headers)
    assert (failure.source_partition, failure.source_offset) == (3, 41)
    assert "left at its source" in failure.fallback_detail


async def test_a_shadow_that_is_too_large_does_not_stop_the_worker() -> None:
    """The event has its answer; the shadow is counted as failed."""
    publisher = RefusingPublisher("shadow-scored")
    metrics = await handled(NO_FACE, publisher, SHADOW)
    assert [message.topic for message in publisher.published] == ["simulated-fallback"]
    series = series_of(metrics.registry.collect())
    assert series["facestream_operations_total", "shadow", "failure"] == 1

"""Simulated answers: deterministic, and only for dead letters with a user."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

import streams.scoring.simulated_answers
from models.simulated import simulate
from schemas.codec import decode_scored_face
from schemas.fallback import FallbackReason
from schemas.image_submitted import derived_event_id
from schemas.scored_face import ScoredFace, face_id_of
from streams.dead_letters import Failure, fallback_message
from streams.engine.publishing import UnpublishableMessage
from streams.kafka.topics import TopicNames
from streams.messages import Incoming, Outgoing
from streams.scoring.simulated_answers import SIMULATION_VERSION, SimulatedAnswers, SimulatedHandler
from streams.telemetry.handling import BULK_REASONS, Handling
from streams.telemetry.metrics import Metrics
from tests.fakes import FakeLog, FakePublisher, incoming
from tests.metrics_page import series_of

TOPICS = TopicNames("image-submitted", "scored-face", "simulated-fallback", "shadow-scored")
EVENT_ID = UUID("3f2b8c1e-9c1d-4f5e-8a44-0c9f6f3f7a10")
TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def event(**fields: Any) -> bytes:
    """Return the value of an event in JSON."""
    sent = {
        "event_id": str(EVENT_ID),
        "user_id": "user-1",
        "image_base64": base64.b64encode(b"picture").decode(),
        **fields,
    }
    return json.dumps(sent).encode()


def dead(
    value: bytes | None, reason: FallbackReason = FallbackReason.NO_FACE, **source: Any
) -> Incoming:
    """Return a dead letter as the fallback topic delivers it."""
    letter = fallback_message(incoming(value, **source), Failure(reason, "detail"), "t")
    return incoming(
        letter.value,
        key=letter.key,
        headers=tuple(letter.headers),
        topic="simulated-fallback",
        partition=0,
        offset=5,
    )


def answers(letter: Incoming, *, enabled: bool = True, size: int = 128) -> list[Outgoing]:
    """Return the answers to a dead letter."""
    simulated = SimulatedAnswers(TOPICS, enabled=enabled, embedding_size=size)
    return simulated.answers(letter, Handling(letter, Metrics()))


def face_of(letter: Incoming, size: int = 128) -> ScoredFace:
    """Return the face in the one answer to a dead letter."""
    (answer,) = answers(letter, size=size)
    return decode_scored_face(answer.value)


@pytest.mark.parametrize("reason", FallbackReason)
def test_answers_for_bulk_reasons_are_logged_at_debug(
    monkeypatch: pytest.MonkeyPatch, reason: FallbackReason
) -> None:
    """At the rate of events they would hide all other lines."""
    log = FakeLog()
    monkeypatch.setattr(streams.scoring.simulated_answers, "log", log)
    answers(dead(event(), reason))
    assert ["debug" if reason in BULK_REASONS else "info"] == [line["level"] for line in log.lines]


def test_a_dead_letter_gets_an_answer_marked_as_simulated() -> None:
    """The answer has the fallback reason and names no model."""
    (answer,) = answers(dead(event(), headers=(("traceparent", TRACE),)))
    face = decode_scored_face(answer.value)
    assert (answer.topic, answer.key) == ("scored-face", b"user-1")
    assert (face.event_id, face.user_id) == (EVENT_ID, "user-1")
    assert (face.face_id, face.face_index, face.face_count) == (face_id_of(EVENT_ID, 0), 0, 1)
    assert (face.provenance, face.fallback_reason) == ("simulated", FallbackReason.NO_FACE)
    assert (face.model, face.bounding_box, face.landmarks) == (None, None, None)
    assert face.formula_version == SIMULATION_VERSION
    headers = dict(answer.headers)
    assert headers["traceparent"] == TRACE
    assert (headers["ce_type"], headers["ce_id"]) == (b"scored-face", str(face.face_id).encode())
    assert not [name for name in headers if name.startswith(("fallback_", "source_"))]


def test_the_scores_depend_on_the_picture_alone() -> None:
    """They are computed from its digest, whatever the user and the event."""
    face = face_of(dead(event()))
    other = face_of(dead(event(user_id="user-2", event_id=str(UUID(int=1)))))
    expected = simulate(hashlib.sha256(b"picture").hexdigest(), 128)
    for one in (face, other):
        assert one.embedding == pytest.approx(expected.embedding, abs=1e-7)
        assert (one.quality, one.confidence) == (expected.quality, expected.confidence)
    assert face.image_sha256 == hashlib.sha256(b"picture").hexdigest()


def test_without_a_readable_picture_the_scores_depend_on_the_events_bytes() -> None:
    """They are the same at every delivery; the answer has no digest of a picture."""
    value = event(image_base64="***")
    face = face_of(dead(value, FallbackReason.INVALID_EVENT))
    expected = simulate(hashlib.sha256(value).hexdigest(), 128)
    assert face.quality == expected.quality
    assert face.image_sha256 is None
    claim = event(image_base64=None, image_uri="s3://a/b.jpg")
    assert face_of(dead(claim)).image_sha256 is None


def test_the_embedding_has_the_size_of_the_chosen_model() -> None:
    """A consumer reads real and simulated answers alike."""
    assert face_of(dead(event()), size=512).embedding_size == 512


def test_an_answer_carries_metadata_and_submission_time() -> None:
    """Types are unchanged, also for an event that is otherwise invalid."""
    sent = {"submitted_at": "2024-05-01T12:00:00Z", "metadata": {"n": 1, "x": [1.5, None]}}
    for letter in (dead(event(**sent)), dead(event(**sent, min_confidence=7))):
        face = face_of(letter)
        assert face.submitted_at == datetime(2024, 5, 1, 12, tzinfo=UTC)
        assert face.metadata == {"n": 1, "x": [1.5, None]}


def test_an_event_without_an_id_gets_the_id_that_scoring_derives() -> None:
    """A later real answer then replaces the simulated one."""
    value = event(event_id=None)
    assert face_of(dead(value)).event_id == derived_event_id("user-1", value)


def test_a_binary_event_is_answered() -> None:
    """Its user and id are in its headers."""
    headers = (
        ("content-type", b"image/jpeg"),
        ("user_id", b"bin"),
        ("ce_id", str(EVENT_ID).encode()),
    )
    face = face_of(dead(b"picture", headers=headers))
    assert (face.user_id, face.event_id) == ("bin", EVENT_ID)
    assert face.image_sha256 == hashlib.sha256(b"picture").hexdigest()


def test_nothing_is_answered_when_simulated_answers_are_off() -> None:
    """``FALLBACK_TO_SIMULATED=false``: dead letters are only kept."""
    assert answers(dead(event()), enabled=False) == []


@pytest.mark.parametrize("topic", ["scored-face", "another", "prefix.image-submitted"])
def test_dead_letters_of_other_topics_are_not_answered(topic: str) -> None:
    """A face that the index refused already has its answer."""
    assert answers(dead(event(), topic=topic)) == []


@pytest.mark.parametrize("value", [None, b"", b"not json", b"[]", b'{"user_id": 7}'])
def test_a_dead_letter_without_a_user_is_not_answered(value: bytes | None) -> None:
    """An answer needs a user as its key."""
    assert answers(dead(value, FallbackReason.INVALID_EVENT, key=None)) == []


def test_records_that_are_not_dead_letters_are_ignored() -> None:
    """Any client may produce to the topic; such a record must not stop the worker."""
    assert answers(incoming(event(), topic="simulated-fallback")) == []
    odd = (("fallback_reason", b"no such reason"),)
    assert answers(incoming(event(), topic="simulated-fallback", headers=odd)) == []


class RefusingPublisher(FakePublisher):
    """Refuses every message as too large."""

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        await super().publish(messages)
        raise UnpublishableMessage("too large")


async def test_an_answer_that_is_too_large_is_counted_and_not_retried() -> None:
    """The answer to an event full of metadata may be larger than the event."""
    publisher, metrics = RefusingPublisher(), Metrics()
    simulated = SimulatedAnswers(TOPICS, enabled=True, embedding_size=8)
    handler = SimulatedHandler(lambda: simulated, publisher.publish, metrics)
    letter = dead(event())
    await handler.handle(incoming(letter.value, headers=letter.headers))
    assert len(publisher.published) == 1
    series = series_of(metrics.registry.collect())
    assert series["facestream_operations_total", "simulated", "failure"] == 1


@pytest.mark.parametrize(("enabled", "outcome"), [(True, "success"), (False, "rejected")])
async def test_a_dead_letter_is_counted_by_whether_it_was_answered(
    enabled: bool, outcome: str
) -> None:
    """With simulated answers off, no answer is published."""
    publisher, metrics = FakePublisher(), Metrics()
    simulated = SimulatedAnswers(TOPICS, enabled=enabled, embedding_size=8)
    handler = SimulatedHandler(lambda: simulated, publisher.publish, metrics)
    letter = dead(event())
    await handler.handle(letter)
    assert bool(publisher.published) == enabled
    series = series_of(metrics.registry.collect())
    assert series["facestream_operations_total", "simulated", outcome] == 1

"""Simulated answers to dead letters: the same every time, and only where somebody waits."""

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
from streams.telemetry.handling import BULK_REASONS
from streams.telemetry.metrics import Metrics
from tests.fakes import FakeLog, FakePublisher, incoming
from tests.metrics_page import series_of

TOPICS = TopicNames("image-submitted", "scored-face", "simulated-fallback", "shadow-scored")
EVENT_ID = UUID("3f2b8c1e-9c1d-4f5e-8a44-0c9f6f3f7a10")
TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def event(**fields: Any) -> bytes:
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
    """A dead letter as it comes from the fallback topic."""
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
    return SimulatedAnswers(TOPICS, enabled=enabled, embedding_size=size).answers(letter)


def face_of(letter: Incoming, size: int = 128) -> ScoredFace:
    (answer,) = answers(letter, size=size)
    return decode_scored_face(answer.value)


@pytest.mark.parametrize("reason", FallbackReason)
def test_an_answer_for_what_crowds_fall_back_for_is_no_line_in_the_log(
    monkeypatch: pytest.MonkeyPatch, reason: FallbackReason
) -> None:
    """At the rate of the events, they would hide every other line; LOG_LEVEL=debug shows them."""
    log = FakeLog()
    monkeypatch.setattr(streams.scoring.simulated_answers, "log", log)
    answers(dead(event(), reason))
    assert ["debug" if reason in BULK_REASONS else "info"] == [line["level"] for line in log.lines]


def test_a_dead_letter_is_answered_with_scores_marked_simulated() -> None:
    """With the reason why they are, and no model's name."""
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


def test_the_same_picture_gets_the_same_scores_whoever_sends_it() -> None:
    """They follow from the picture's digest alone."""
    face = face_of(dead(event()))
    other = face_of(dead(event(user_id="user-2", event_id=str(UUID(int=1)))))
    expected = simulate(hashlib.sha256(b"picture").hexdigest(), 128)
    for one in (face, other):
        assert one.embedding == pytest.approx(expected.embedding, abs=1e-7)
        assert (one.quality, one.confidence) == (expected.quality, expected.confidence)
    assert face.image_sha256 == hashlib.sha256(b"picture").hexdigest()


def test_an_event_without_a_readable_picture_gets_the_scores_of_its_bytes() -> None:
    """The same ones at every delivery, and no digest of a picture that nobody has seen."""
    value = event(image_base64="***")
    face = face_of(dead(value, FallbackReason.INVALID_EVENT))
    expected = simulate(hashlib.sha256(value).hexdigest(), 128)
    assert face.quality == expected.quality
    assert face.image_sha256 is None
    claim = event(image_base64=None, image_uri="s3://a/b.jpg")
    assert face_of(dead(claim)).image_sha256 is None


def test_the_embedding_has_the_size_of_the_models_in_use() -> None:
    """A reader of the topic need not tell them apart to read them."""
    assert face_of(dead(event()), size=512).embedding_size == 512


def test_metadata_and_the_time_of_submission_are_carried() -> None:
    """Types unchanged, from an event that is invalid otherwise too."""
    sent = {"submitted_at": "2024-05-01T12:00:00Z", "metadata": {"n": 1, "x": [1.5, None]}}
    for letter in (dead(event(**sent)), dead(event(**sent, min_confidence=7))):
        face = face_of(letter)
        assert face.submitted_at == datetime(2024, 5, 1, 12, tzinfo=UTC)
        assert face.metadata == {"n": 1, "x": [1.5, None]}


def test_an_event_without_an_id_gets_the_one_that_scoring_would_give() -> None:
    """So that a later real answer replaces the simulated one."""
    value = event(event_id=None)
    assert face_of(dead(value)).event_id == derived_event_id("user-1", value)


def test_a_binary_event_is_answered_too() -> None:
    """Its user is in its headers."""
    headers = (
        ("content-type", b"image/jpeg"),
        ("user_id", b"bin"),
        ("ce_id", str(EVENT_ID).encode()),
    )
    face = face_of(dead(b"picture", headers=headers))
    assert (face.user_id, face.event_id) == ("bin", EVENT_ID)
    assert face.image_sha256 == hashlib.sha256(b"picture").hexdigest()


def test_nothing_is_answered_when_simulated_answers_are_off() -> None:
    """FALLBACK_TO_SIMULATED=false: dead letters stay where they are."""
    assert answers(dead(event()), enabled=False) == []


@pytest.mark.parametrize("topic", ["scored-face", "another", "prefix.image-submitted"])
def test_dead_letters_of_other_topics_are_not_answered(topic: str) -> None:
    """A face that the index refused has been answered already."""
    assert answers(dead(event(), topic=topic)) == []


@pytest.mark.parametrize("value", [None, b"", b"not json", b"[]", b'{"user_id": 7}'])
def test_a_dead_letter_of_nobody_is_not_answered(value: bytes | None) -> None:
    """There is no one to answer to."""
    assert answers(dead(value, FallbackReason.INVALID_EVENT, key=None)) == []


def test_what_is_no_dead_letter_of_ours_is_left_alone() -> None:
    """Somebody may produce anything to the topic; it must not stop the worker."""
    assert answers(incoming(event(), topic="simulated-fallback")) == []
    odd = (("fallback_reason", b"no such reason"),)
    assert answers(incoming(event(), topic="simulated-fallback", headers=odd)) == []


class RefusingPublisher(FakePublisher):
    """Every message is too large for it."""

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        await super().publish(messages)
        raise UnpublishableMessage("too large")


async def test_a_dead_letter_whose_answer_is_too_large_is_kept_and_not_answered() -> None:
    """An event that is all metadata fits its topic, and its answer does not."""
    publisher, metrics = RefusingPublisher(), Metrics()
    simulated = SimulatedAnswers(TOPICS, enabled=True, embedding_size=8)
    handler = SimulatedHandler(lambda: simulated, publisher.publish, metrics)
    letter = dead(event())
    await handler.handle(incoming(letter.value, headers=letter.headers))
    assert len(publisher.published) == 1
    series = series_of(metrics.registry.collect())
    assert series["facestream_operations_total", "simulated", "failure"] == 1

"""The audit finds every kind of flaw, and none in a flawless run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid5

import pytest

from models.simulated import simulate
from schemas.codec import encode_scored_face
from schemas.fallback import FallbackHeaders, FallbackReason, with_failure
from schemas.scored_face import BoundingBox, Landmarks, ModelNames, ScoredFace, face_id_of
from tools.chaos.audit import Audit, Report
from tools.chaos.load import NAMESPACE, Event, Load
from tools.chaos.pipelines import embedding_for
from tools.chaos.qdrant import StoredPoint

EVENTS = list(Load(seed=1, count=400, real=False, picture_url="http://127.0.0.1:1/").events())
VALID = next(event for event in EVENTS if event.may_be_real and event.faces == 2)
OTHER = next(event for event in EVENTS if event.may_be_real and event.faces == 1)
BAD = next(event for event in EVENTS if event.event_id is not None and not event.may_be_real)
ANONYMOUS = next(event for event in EVENTS if event.event_id is None)
UNKNOWN_ID = uuid5(NAMESPACE, "unknown")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def real(event: Event, index: int = 0, **changes: Any) -> ScoredFace:
    assert event.event_id is not None
    assert event.picture_sha256 is not None
    record = ScoredFace(
        event_id=event.event_id,
        face_id=face_id_of(event.event_id, index),
        user_id=event.user_id,
        face_index=index,
        face_count=event.faces,
        bounding_box=BoundingBox(x=0, y=0, width=1, height=1),
        landmarks=Landmarks(
            left_eye=(0, 0), right_eye=(0, 0), nose=(0, 0), mouth_left=(0, 0), mouth_right=(0, 0)
        ),
        embedding=tuple(embedding_for(event.picture_sha256, index).tolist()),
        embedding_size=128,
        quality=0.5,
        frontality=0.5,
        symmetry=0.5,
        resolution=0.5,
        confidence=0.5,
        formula_version="1",
        provenance="real",
        model=ModelNames(
            detector="d", detector_sha256="0" * 64, embedder="e", embedder_sha256="0" * 64
        ),
        image_sha256=event.picture_sha256,
        scored_at=NOW,
    )
    return record.model_copy(update=changes)


def simulated(event: Event, reason: FallbackReason | None = None, **changes: Any) -> ScoredFace:
    assert event.event_id is not None
    return ScoredFace(
        event_id=event.event_id,
        face_id=face_id_of(event.event_id, 0),
        user_id=event.user_id,
        face_index=0,
        face_count=1,
        embedding=simulate("0" * 64, 8).embedding,
        embedding_size=8,
        quality=0.5,
        frontality=0.5,
        symmetry=0.5,
        resolution=0.5,
        confidence=0.5,
        formula_version="s",
        provenance="simulated",
        fallback_reason=reason or next(iter(event.reasons)),
        scored_at=NOW,
    ).model_copy(update=changes)


class Run:
    """A small flawless run, which tests falsify."""

    def __init__(self) -> None:
        self.audit = Audit()
        for event in (VALID, OTHER, BAD, ANONYMOUS):
            self.audit.submitted(event)
        self.answers: list[tuple[bytes, bytes]] = []
        self.letters = [self.letter(BAD), self.letter(ANONYMOUS)]
        self.points: dict[str, StoredPoint] = {}
        for event, index in ((VALID, 0), (VALID, 1), (OTHER, 0)):
            face = real(event, index)
            self.answer(face)
            self.points[str(face.face_id)] = StoredPoint(
                face.user_id, str(face.event_id), face.embedding
            )
        self.answer(simulated(BAD))

    def answer(self, face: ScoredFace, key: str | None = None) -> None:
        self.answers.append((encode_scored_face(face), (key or face.user_id).encode()))

    @staticmethod
    def letter(
        event: Event, reason: FallbackReason | None = None
    ) -> tuple[bytes, bytes | None, Any]:
        failure = FallbackHeaders(
            fallback_reason=reason or next(iter(event.reasons)),
            fallback_detail="",
            fallback_attempts=1,
            source_topic="image-submitted",
            source_partition=0,
            source_offset=0,
            failed_at=NOW,
            worker="w",
        )
        return event.value, event.key, with_failure(event.headers, failure)

    def report(self) -> Report:
        for value, key in self.answers:
            self.audit.answer(value, key)
        for letter in self.letters:
            self.audit.letter(*letter)
        return self.audit.report(self.points)


def test_a_flawless_run_has_no_findings() -> None:
    """The printed line has a fixed format, as scripts search for it."""
    report = Run().report()
    assert report.ok
    assert report.findings == ()
    assert report.line(12.3) == (
        "chaos: events=4 answered=4 lost=0 corrupt=0 duplicates=0 indexed=3 missing_points=0 "
        "stray_points=0 max_rss_mb=12"
    )


def test_repeats_are_counted_and_allowed() -> None:
    """A repeat may differ in its timings."""
    run = Run()
    run.answer(real(OTHER, scored_at=datetime(2027, 1, 1, tzinfo=UTC)))
    run.letters.append(run.letter(ANONYMOUS))
    report = run.report()
    assert report.ok
    assert report.duplicates == 2


@pytest.mark.parametrize("which", [0, 1, 2, 3])
def test_a_missing_answer_is_a_lost_event(which: int) -> None:
    """It may be one of two faces, or the simulated answer to a bad event."""
    run = Run()
    face = json.loads(run.answers.pop(which)[0])
    run.points.pop(face["face_id"], None)
    report = run.report()
    assert (report.lost, report.answered) == (1, 3)
    assert not report.ok


def test_a_missing_dead_letter_of_an_anonymous_event_is_a_lost_event() -> None:
    """Without an id it cannot be answered, so it must be kept."""
    run = Run()
    run.letters.pop()
    assert run.report().lost == 1


FALSIFY: dict[str, Callable[[Run], None]] = {
    "does not decode": lambda run: run.answers.append((b"{}", b"x")),
    "unknown event": lambda run: run.answer(real(replace(OTHER, event_id=UNKNOWN_ID))),
    "not 'user-": lambda run: run.answer(real(OTHER, user_id="another")),
    "record key": lambda run: run.answer(real(OTHER), key="another"),
    "does not decode: face_id": lambda run: run.answer(real(OTHER, face_id=real(VALID).face_id)),
    "two real answers differ": lambda run: run.answer(real(OTHER, quality=0.4)),
    "two simulated answers differ": lambda run: run.answer(simulated(BAD, quality=0.4)),
    "another picture": lambda run: run.answer(real(OTHER, image_sha256=VALID.picture_sha256)),
    "faces, not": lambda run: run.answer(real(OTHER, face_count=2)),
    "cannot be scored": lambda run: run.answer(
        real(replace(BAD, picture_sha256="0" * 64), image_sha256="0" * 64)
    ),
    "simulated because of": lambda run: run.answer(simulated(OTHER, FallbackReason.NO_FACE)),
    "not what was sent": lambda run: run.letters.append((b"changed", *run.letter(ANONYMOUS)[1:])),
    "a dead letter for": lambda run: run.letters.append(run.letter(OTHER, FallbackReason.NO_FACE)),
    "dead letter of an unknown": lambda run: run.letters.append((b"", None, [])),
    "its dead letter: ": lambda run: run.letters.append(
        (ANONYMOUS.value, ANONYMOUS.key, ANONYMOUS.headers)
    ),
}


@pytest.mark.parametrize("says", FALSIFY)
def test_a_wrong_answer_or_dead_letter_is_corrupt(says: str) -> None:
    """The finding names the flaw."""
    run = Run()
    FALSIFY[says](run)
    report = run.report()
    assert report.corrupt == 1
    assert not report.ok
    assert says in report.findings[0]


def test_the_embedding_of_another_picture_is_corrupt() -> None:
    """Events with the same picture must have the same embedding."""
    run = Run()
    twin = replace(OTHER, number=-1, event_id=UNKNOWN_ID)
    run.audit.submitted(twin)
    run.answer(real(twin, embedding=real(VALID).embedding))
    report = run.report()
    assert report.corrupt == 1
    assert "not that of its picture" in report.findings[1]


def test_a_real_answer_without_a_point_is_a_missing_point() -> None:
    """The index must hold every face with a real answer."""
    run = Run()
    run.points.popitem()
    report = run.report()
    assert (report.missing_points, report.stray_points) == (1, 0)
    assert not report.ok


def test_a_point_without_a_real_answer_is_stray() -> None:
    """Simulated faces are never indexed."""
    run = Run()
    run.points[str(simulated(BAD).face_id)] = StoredPoint("user", "event", (1.0,))
    report = run.report()
    assert (report.missing_points, report.stray_points) == (0, 1)
    assert not report.ok


@pytest.mark.parametrize("field", ["user_id", "vector"])
def test_a_point_that_differs_from_its_answer_is_stray(field: str) -> None:
    """It may have the user or the embedding of another face."""
    run = Run()
    name, point = run.points.popitem()
    wrong: Any = {"user_id": "another", "vector": tuple(real(VALID).embedding)}[field]
    run.points[name] = replace(point, **{field: wrong})
    assert run.report().stray_points == 1


def test_a_valid_event_may_be_answered_simulated_after_a_time_out() -> None:
    """Such events are counted, and not lost."""
    run = Run()
    run.answer(simulated(OTHER, FallbackReason.INFERENCE_TIMEOUT))
    report = run.report()
    assert report.ok
    assert (report.simulated, report.mixed) == (2, 1)

"""The audit of a run: compares the submitted events with the topics and the index.

- ``lost``: an event without a complete answer or, for one without a readable id, without a dead
  letter.
- ``corrupt``: an answer or dead letter with wrong content.
- ``missing``: a face with a real answer, but without a point in the index.
- ``stray``: a point without a real answer, or with the embedding or user of another one.
- ``duplicates``: repeats of the same answer, which are harmless.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from schemas.codec import decode_scored_face, encode_scored_face
from schemas.errors import InvalidEvent
from schemas.fallback import FallbackHeaders
from schemas.scored_face import ScoredFace
from tools.chaos.load import NUMBER_HEADER, Event

Headers = Sequence[tuple[str, bytes]]

MAX_SHOWN = 20
#: Tolerance for float32 embeddings after JSON and a server's normalisation.
TOLERANCE = 1e-5
ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)


class Point(Protocol):
    """The point of one face in the index."""

    @property
    def user_id(self) -> str: ...
    @property
    def vector(self) -> Sequence[float]: ...


@dataclass(frozen=True, slots=True)
class Report:
    """The counts, and the first findings as text."""

    events: int
    answered: int
    lost: int
    corrupt: int
    duplicates: int
    indexed: int
    missing_points: int
    stray_points: int
    simulated: int
    mixed: int
    findings: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is lost, corrupt, missing or stray."""
        return not (self.lost or self.corrupt or self.missing_points or self.stray_points)

    def line(self, max_rss_mb: float) -> str:
        """Return the line that the suite prints."""
        return (
            f"chaos: events={self.events} answered={self.answered} lost={self.lost} "
            f"corrupt={self.corrupt} duplicates={self.duplicates} indexed={self.indexed} "
            f"missing_points={self.missing_points} stray_points={self.stray_points} "
            f"max_rss_mb={max_rss_mb:.0f}"
        )


@dataclass(slots=True)
class _Seen:
    """The answers for one face, so far."""

    real: bytes | None = None
    simulated: bytes | None = None
    vector: NDArray[np.float32] | None = None
    user_id: str = ""


@dataclass(slots=True)
class _Received:
    """The answers to one event, so far."""

    real: set[int] = field(default_factory=set)
    simulated: bool = False
    letter: bool = False


class Audit:
    """Collects events, answers and dead letters in any order, then reports."""

    def __init__(self) -> None:
        self._events: dict[int, Event] = {}
        self._by_id: dict[UUID, Event] = {}
        self._received: dict[int, _Received] = {}
        self._open: set[int] = set()
        self._faces: dict[UUID, _Seen] = {}
        self._pictures: dict[tuple[str, int], bytes] = {}
        self._corrupt: list[str] = []
        self._duplicates = 0

    @property
    def outstanding(self) -> int:
        """The number of events without an answer or, where due, a dead letter."""
        return len(self._open)

    @property
    def indexable(self) -> set[str]:
        """The ids of the faces that must have a point: those with a real answer."""
        return {str(name) for name, seen in self._faces.items() if seen.real is not None}

    def submitted(self, event: Event) -> None:
        """Add an event that is being published."""
        self._events[event.number] = event
        self._received[event.number] = _Received()
        self._open.add(event.number)
        if event.event_id is not None:
            self._by_id[event.event_id] = event

    def answer(self, value: bytes | None, key: bytes | None) -> None:
        """Add a message of scored-face."""
        try:
            face = decode_scored_face(value)
        except InvalidEvent as error:
            self._corrupt.append(f"an answer does not decode: {error}")
            return
        event = self._by_id.get(face.event_id)
        if event is None:
            self._corrupt.append(f"an answer to an unknown event: {face.event_id}")
            return
        problem = _problem(event, face, key) or self._contradiction(face)
        if problem is not None:
            self._corrupt.append(f"event {event.number}, face {face.face_index}: {problem}")
            return
        received = self._received[event.number]
        if face.provenance == "real":
            received.real.add(face.face_index)
        else:
            received.simulated = True
        if received.simulated or len(received.real) == event.faces:
            self._open.discard(event.number)

    def _contradiction(self, face: ScoredFace) -> str | None:
        """Compare an answer with earlier ones for its face, and count a repeat."""
        seen = self._faces.setdefault(face.face_id, _Seen(user_id=face.user_id))
        content = _content(face)
        if face.provenance == "simulated":
            if seen.simulated is not None and seen.simulated != content:
                return "two simulated answers differ"
            self._duplicates += seen.simulated is not None
            seen.simulated = content
            return None
        if seen.real is not None and seen.real != content:
            return "two real answers differ"
        vector = np.asarray(face.embedding, dtype=np.float32)
        # The same picture has the same embedding for every sender; a mix-up shows here.
        picture = (str(face.image_sha256), face.face_index)
        if self._pictures.setdefault(picture, vector.tobytes()) != vector.tobytes():
            return "its embedding is not that of its picture"
        self._duplicates += seen.real is not None
        seen.real, seen.vector = content, vector
        return None

    def letter(self, value: bytes | None, key: bytes | None, headers: Headers) -> None:
        """Add a message of simulated-fallback."""
        numbers = [int(text) for name, text in headers if name == NUMBER_HEADER]
        event = self._events.get(numbers[0]) if numbers else None
        if event is None:
            self._corrupt.append("a dead letter of an unknown event")
            return
        try:
            failure = FallbackHeaders.from_headers(headers)
        except InvalidEvent as error:
            self._corrupt.append(f"event {event.number}: its dead letter: {error}")
            return
        if (value, key) != (event.value, event.key):
            self._corrupt.append(f"event {event.number}: its dead letter is not what was sent")
        elif failure.fallback_reason not in event.reasons:
            self._corrupt.append(
                f"event {event.number}: a dead letter for {failure.fallback_reason}: "
                f"{failure.fallback_detail}"
            )
        elif event.event_id is None:
            self._duplicates += self._received[event.number].letter
            self._received[event.number].letter = True
            self._open.discard(event.number)

    def report(self, points: Mapping[str, Point]) -> Report:
        """Return the report, once no more messages arrive."""
        wanted = self.indexable
        lost = sorted(self._open)
        missing = sorted(wanted - set(points))
        stray = sorted(set(points) - wanted)
        wrong = [name for name in wanted & set(points) if not self._is_of(name, points[name])]
        findings = [
            *(f"lost: event {number} ({self._describe(number)})" for number in lost[:MAX_SHOWN]),
            *(f"corrupt: {text}" for text in self._corrupt[:MAX_SHOWN]),
            *(f"missing point: face {name}" for name in missing[:MAX_SHOWN]),
            *(f"stray point: face {name}" for name in [*stray, *wrong][:MAX_SHOWN]),
        ]
        everything = self._received.values()
        return Report(
            events=len(self._events),
            answered=len(self._events) - len(lost),
            lost=len(lost),
            corrupt=len(self._corrupt),
            duplicates=self._duplicates,
            indexed=len(points),
            missing_points=len(missing),
            stray_points=len(stray) + len(wrong),
            simulated=sum(one.simulated for one in everything),
            mixed=sum(bool(one.simulated and one.real) for one in everything),
            findings=tuple(findings),
        )

    def _is_of(self, face_id: str, point: Point) -> bool:
        seen = self._faces[UUID(face_id)]
        assert seen.vector is not None
        same = np.allclose(np.asarray(point.vector), seen.vector, atol=TOLERANCE)
        return bool(same) and point.user_id == seen.user_id

    def _describe(self, number: int) -> str:
        event, received = self._events[number], self._received[number]
        return f"user {event.user_id}, {len(received.real)} of {event.faces} faces answered"


def _problem(event: Event, face: ScoredFace, key: bytes | None) -> str | None:
    """Return the first flaw of an answer, compared with its event alone."""
    checks: Iterable[tuple[bool, str]] = (
        (face.user_id != event.user_id, f"user {face.user_id!r}, not {event.user_id!r}"),
        (key != event.user_id.encode(), f"its record key is {key!r}"),
        (
            face.provenance == "real" and not event.may_be_real,
            "a real answer to an event that cannot be scored",
        ),
        (
            face.provenance == "real" and face.face_count != event.faces,
            f"{face.face_count} faces, not {event.faces}",
        ),
        (
            face.provenance == "real" and face.image_sha256 != event.picture_sha256,
            "the digest of another picture",
        ),
        (
            face.provenance == "simulated" and face.fallback_reason not in event.reasons,
            f"simulated because of {face.fallback_reason}",
        ),
    )
    return next((text for wrong, text in checks if wrong), None)


def _content(face: ScoredFace) -> bytes:
    """Return a digest of the parts of an answer that a repeat must not change.

    A fallback reason may change: a fetch can time out first, and fail for good the next time.
    """
    same = face.model_copy(
        update={
            "timings_ms": None,
            "scored_at": ANY_TIME,
            "fallback_reason": None,
        }
    )
    return hashlib.sha256(encode_scored_face(same)).digest()

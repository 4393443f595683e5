"""The reckoning of a run: what was submitted against everything the topics and the index hold.

``lost``: an event without its complete answer, or for one that nobody can be told from, without its
dead letter. ``corrupt``: an answer or a dead letter that is not what it must be. ``missing``: a
face with a real answer but without its point. ``stray``: a point without a real answer, or with
another embedding or user than it. ``duplicates`` are harmless: repeats of the same answer.
"""

from __future__ import annotations

import hashlib
from collections import Counter
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

MOST_SHOWN = 20
#: float32 against what went through JSON and a server's own normalisation.
TOLERANCE = 1e-5
ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)


class Point(Protocol):
    """What a vector index says of one face."""

    @property
    def user_id(self) -> str: ...
    @property
    def vector(self) -> Sequence[float]: ...


@dataclass(frozen=True, slots=True)
class Report:
    """The counts, and the first findings in words."""

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
        """Nothing lost, corrupt, missing or stray."""
        return not (self.lost or self.corrupt or self.missing_points or self.stray_points)

    def line(self, max_rss_mb: float) -> str:
        """As the suite prints it."""
        return (
            f"chaos: events={self.events} answered={self.answered} lost={self.lost} "
            f"corrupt={self.corrupt} duplicates={self.duplicates} indexed={self.indexed} "
            f"missing_points={self.missing_points} stray_points={self.stray_points} "
            f"max_rss_mb={max_rss_mb:.0f}"
        )


@dataclass(slots=True)
class _Seen:
    """The answers for one face so far."""

    real: bytes | None = None
    simulated: bytes | None = None
    vector: NDArray[np.float32] | None = None
    user_id: str = ""


@dataclass(slots=True)
class _Fate:
    """What became of one event."""

    real: set[int] = field(default_factory=set)
    simulated: bool = False
    letter: bool = False


class Audit:
    """Takes in everything that was published, in any order, and says whether it adds up."""

    def __init__(self) -> None:
        self._events: dict[int, Event] = {}
        self._by_id: dict[UUID, Event] = {}
        self._fates: dict[int, _Fate] = {}
        self._open: set[int] = set()
        self._faces: dict[UUID, _Seen] = {}
        self._pictures: dict[tuple[str, int], bytes] = {}
        self._corrupt: list[str] = []
        self._duplicates = 0
        self.reasons: Counter[str] = Counter()

    @property
    def outstanding(self) -> int:
        """Events not yet answered or kept."""
        return len(self._open)

    @property
    def indexable(self) -> set[str]:
        """The faces that must have a point: all with a real answer."""
        return {str(name) for name, seen in self._faces.items() if seen.real is not None}

    def submitted(self, event: Event) -> None:
        """An event that the broker has acknowledged, or is about to."""
        self._events[event.number] = event
        self._fates[event.number] = _Fate()
        self._open.add(event.number)
        if event.event_id is not None:
            self._by_id[event.event_id] = event

    def answer(self, value: bytes | None, key: bytes | None) -> None:
        """A message of scored-face."""
        try:
            face = decode_scored_face(value)
        except InvalidEvent as error:
            self._corrupt.append(f"an answer does not decode: {error}")
            return
        event = self._by_id.get(face.event_id)
        if event is None:
            self._corrupt.append(f"an answer to an event that nobody sent: {face.event_id}")
            return
        problem = _problem(event, face, key) or self._contradiction(face)
        if problem is not None:
            self._corrupt.append(f"event {event.number}, face {face.face_index}: {problem}")
            return
        fate = self._fates[event.number]
        if face.provenance == "real":
            fate.real.add(face.face_index)
        else:
            fate.simulated = True
            self.reasons[str(face.fallback_reason)] += 1
        if fate.simulated or len(fate.real) == event.faces:
            self._open.discard(event.number)

    def _contradiction(self, face: ScoredFace) -> str | None:
        """Compare with earlier answers for the face; count a repeat."""
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
        # The same picture has the same face whoever sent it: another's face would show here.
        picture = (str(face.image_sha256), face.face_index)
        if self._pictures.setdefault(picture, vector.tobytes()) != vector.tobytes():
            return "its embedding is not that of its picture"
        self._duplicates += seen.real is not None
        seen.real, seen.vector = content, vector
        return None

    def letter(self, value: bytes | None, key: bytes | None, headers: Headers) -> None:
        """A message of simulated-fallback."""
        numbers = [int(text) for name, text in headers if name == NUMBER_HEADER]
        event = self._events.get(numbers[0]) if numbers else None
        if event is None:
            self._corrupt.append("a dead letter of an event that nobody sent")
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
            self._duplicates += self._fates[event.number].letter
            self._fates[event.number].letter = True
            self._open.discard(event.number)

    def report(self, points: Mapping[str, Point]) -> Report:
        """The reckoning, once nothing more comes."""
        wanted = self.indexable
        lost = sorted(self._open)
        missing = sorted(wanted - set(points))
        stray = sorted(set(points) - wanted)
        wrong = [name for name in wanted & set(points) if not self._is_of(name, points[name])]
        findings = [
            *(f"lost: event {number} ({self._describe(number)})" for number in lost[:MOST_SHOWN]),
            *(f"corrupt: {text}" for text in self._corrupt[:MOST_SHOWN]),
            *(f"missing point: face {name}" for name in missing[:MOST_SHOWN]),
            *(f"stray point: face {name}" for name in [*stray, *wrong][:MOST_SHOWN]),
        ]
        fates = self._fates.values()
        return Report(
            events=len(self._events),
            answered=len(self._events) - len(lost),
            lost=len(lost),
            corrupt=len(self._corrupt),
            duplicates=self._duplicates,
            indexed=len(points),
            missing_points=len(missing),
            stray_points=len(stray) + len(wrong),
            simulated=sum(fate.simulated for fate in fates),
            mixed=sum(bool(fate.simulated and fate.real) for fate in fates),
            findings=tuple(findings),
        )

    def _is_of(self, face_id: str, point: Point) -> bool:
        seen = self._faces[UUID(face_id)]
        assert seen.vector is not None
        same = np.allclose(np.asarray(point.vector), seen.vector, atol=TOLERANCE)
        return bool(same) and point.user_id == seen.user_id

    def _describe(self, number: int) -> str:
        event, fate = self._events[number], self._fates[number]
        return f"user {event.user_id}, {len(fate.real)} of {event.faces} faces answered"


def _problem(event: Event, face: ScoredFace, key: bytes | None) -> str | None:
    """What is wrong with an answer by itself, if anything."""
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
    """A digest of everything in an answer that a repeat must not change.

    The reason of a simulated answer may: a picture can time out once and not be found next time.
    """
    same = face.model_copy(
        update={
            "timings_ms": None,
            "scored_at": ANY_TIME,
            "fallback_reason": None,
        }
    )
    return hashlib.sha256(encode_scored_face(same)).digest()

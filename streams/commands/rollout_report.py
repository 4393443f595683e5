"""The rollout report: statistics of scored-face and shadow-scored events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from schemas.scored_face import ScoredFace, Timings
from schemas.shadow_scored import SCORES, ShadowScored
from streams.commands.face_table import milliseconds_of

#: Scores in the order of ``SCORES``.
Scores = tuple[float, ...]


@dataclass(frozen=True)
class Spread:
    """The distribution of one score; None without values."""

    count: int
    mean: float | None
    p10: float | None
    median: float | None
    p90: float | None


@dataclass(frozen=True)
class Difference:
    """Simulated minus real in one score, over events that have both."""

    pairs: int
    mean: float | None
    mean_absolute: float | None
    p90_absolute: float | None


@dataclass(frozen=True)
class ScoreReport:
    """One score in real answers, in simulated answers and in shadow scorings."""

    real: Spread
    simulated: Spread
    shadow: Spread
    simulated_minus_shadow: Difference


@dataclass(frozen=True)
class RolloutReport:
    """The whole report; ``…_milliseconds``: per picture, without the wait in the queue."""

    real_faces: int
    simulated_answers: int
    simulated_by_reason: dict[str, int]
    shadows: int
    shadows_refused_by_reason: dict[str, int]
    scores: dict[str, ScoreReport]
    real_milliseconds: Spread
    shadow_milliseconds: Spread


@dataclass(frozen=True, slots=True)
class _Answer:
    event_id: UUID
    reason: str | None
    scores: Scores
    milliseconds: float | None


@dataclass
class Evidence:
    """Collects events in any order; for a repeated face the later event counts."""

    _answers: dict[UUID, _Answer] = field(default_factory=dict)
    _shadows: dict[UUID, ShadowScored] = field(default_factory=dict)

    def add_face(self, face: ScoredFace) -> None:
        """Add a scored-face event."""
        self._answers[face.face_id] = _Answer(
            event_id=face.event_id,
            reason=None if face.fallback_reason is None else face.fallback_reason.value,
            scores=tuple(getattr(face, name) for name in SCORES),
            milliseconds=_milliseconds(face.timings_ms) if face.face_index == 0 else None,
        )

    def add_shadow(self, shadow: ShadowScored) -> None:
        """Add a shadow-scored event."""
        self._shadows[shadow.event_id] = shadow

    def real(self) -> NDArray[np.float64]:
        """Return the scores of real answers: (faces, scores) float64."""
        return _table(one.scores for one in self._answers.values() if one.reason is None)

    def simulated(self) -> NDArray[np.float64]:
        """Return the scores of simulated answers: (answers, scores) float64."""
        return _table(one.scores for one in self._answers.values() if one.reason is not None)

    def shadow(self) -> NDArray[np.float64]:
        """Return the scores of shadow scorings: (events, scores) float64."""
        return _table(
            _shadow_scores(one) for one in self._shadows.values() if one.fallback_reason is None
        )

    def simulated_minus_shadow(self) -> NDArray[np.float64]:
        """Return differences of events with both answer and shadow: (events, scores) float64."""
        pairs = [
            (answer.scores, _shadow_scores(shadow))
            for answer in self._answers.values()
            if answer.reason is not None
            and (shadow := self._shadows.get(answer.event_id)) is not None
            and shadow.fallback_reason is None
        ]
        return _table(one for one, _ in pairs) - _table(other for _, other in pairs)

    def report(self) -> RolloutReport:
        """Report on the events so far."""
        answers, shadows = self._answers.values(), self._shadows.values()
        real, simulated, shadow = self.real(), self.simulated(), self.shadow()
        differences = self.simulated_minus_shadow()
        return RolloutReport(
            real_faces=len(real),
            simulated_answers=len(simulated),
            simulated_by_reason=_counted(one.reason for one in answers),
            shadows=len(shadows),
            shadows_refused_by_reason=_counted(
                one.fallback_reason and one.fallback_reason.value for one in shadows
            ),
            scores={
                name: ScoreReport(
                    real=_spread(real[:, column]),
                    simulated=_spread(simulated[:, column]),
                    shadow=_spread(shadow[:, column]),
                    simulated_minus_shadow=_difference(differences[:, column]),
                )
                for column, name in enumerate(SCORES)
            },
            real_milliseconds=_spread(_known(one.milliseconds for one in answers)),
            shadow_milliseconds=_spread(_known(_milliseconds(one.timings_ms) for one in shadows)),
        )


def _shadow_scores(shadow: ShadowScored) -> Scores:
    return tuple(getattr(shadow, name) for name in SCORES)


def _milliseconds(timings: Timings | None) -> float | None:
    if timings is None:
        return None
    return milliseconds_of(timings)


def _counted(reasons: Iterable[str | None]) -> dict[str, int]:
    return dict(Counter(reason for reason in reasons if reason is not None).most_common())


def _known(values: Iterable[float | None]) -> NDArray[np.float64]:
    return np.array([value for value in values if value is not None], dtype=np.float64)


def _table(rows: Iterable[Scores]) -> NDArray[np.float64]:
    return np.array(list(rows), dtype=np.float64).reshape(-1, len(SCORES))


def _spread(values: NDArray[np.float64]) -> Spread:
    if not len(values):
        return Spread(0, None, None, None, None)
    p10, median, p90 = (float(value) for value in np.percentile(values, (10, 50, 90)))
    return Spread(len(values), float(values.mean()), p10, median, p90)


def _difference(values: NDArray[np.float64]) -> Difference:
    if not len(values):
        return Difference(0, None, None, None)
    absolute = np.abs(values)
    return Difference(
        len(values),
        float(values.mean()),
        float(absolute.mean()),
        float(np.percentile(absolute, 90)),
    )

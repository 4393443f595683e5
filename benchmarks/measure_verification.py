"""Measure one embedder on labelled pairs, for ``docs/accuracy.md``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.accuracy_data import Data, Pair
from benchmarks.accuracy_models import UNLIMITED, as_file, main_face
from benchmarks.damages import DAMAGES
from benchmarks.verification import (
    Scores,
    Share,
    accepted_share,
    area_under_roc,
    fold_accuracies,
    misses_after_rejecting,
    share,
    threshold_at,
)
from models.pictures.decoding import decode
from models.pipeline import Face, FacePipeline

FAR = (1e-2, 1e-3, 1e-4, 1e-5)
ENOUGH_ABOVE = 10
"""Minimum of impostor pairs above a threshold; with fewer the threshold is left to chance."""

REJECTED = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3)
DAMAGED_PAIRS = 600
NOT_FOUND = -1.0

SIGNALS: dict[str, Callable[[Face], float]] = {
    "quality": lambda face: face.measures.quality,
    "detection confidence": lambda face: face.detection_confidence,
    "embedding norm": lambda face: face.measures.embedding_norm,
    "sharpness": lambda face: face.measures.sharpness,
    "resolution": lambda face: face.measures.interocular_px,
}


def _learned(face: Face) -> float:
    quality = face.measures.learned_quality
    return float("nan") if quality is None else quality


def _signals(assessed: bool) -> dict[str, Callable[[Face], float]]:
    return {**SIGNALS, "learned quality": _learned} if assessed else SIGNALS


@dataclass(frozen=True)
class Verification:
    """Results of one embedder on one pair list.

    ``rejecting``: misses by signal at FAR 1e-3, at each share of ``REJECTED``, on genuine pairs
    with one damaged picture. ``rejecting_as_is``: at FAR 1e-4 on undamaged genuine pairs, by the
    worse of the two pictures. ``calibration``: (quality, matched, pairs) by class.
    """

    accuracies: tuple[float, ...]
    pairs: int
    not_found: int
    area: float
    thresholds: dict[float, float]
    tar: dict[float, Share]
    genuine: Scores
    impostors: Scores
    rejecting: dict[str, list[float]]
    rejecting_as_is: dict[str, list[float]]
    calibration: list[tuple[float, Share, int]]

    def is_enough_for(self, rate: float) -> bool:
        """Return whether enough impostor pairs support the threshold of this rate."""
        return rate * len(self.impostors) >= ENOUGH_ABOVE

    @property
    def accuracy(self) -> float:
        return float(np.mean(self.accuracies))


def measure_verification(
    pipeline: FacePipeline, data: Data, pairs: Sequence[Pair], tick: Callable[[], None]
) -> Verification:
    """Measure all pairs; ``tick`` is called for each scored picture."""
    faces: dict[str, Face | None] = {}
    for file in sorted({file for pair in pairs for file in (pair.file_a, pair.file_b)}):
        faces[file] = main_face(pipeline, data.read(file))
        tick()
    scores = np.array([_similarity(faces[pair.file_a], faces[pair.file_b]) for pair in pairs])
    same = np.array([pair.same for pair in pairs])
    genuine, impostors = scores[same], _impostors(data, faces)
    thresholds = {rate: threshold_at(impostors, rate) for rate in FAR}
    assessed = pipeline.assessor is not None
    damaged = _damaged(pipeline, data, [pair for pair in pairs if pair.same], faces, tick)
    return Verification(
        accuracies=tuple(fold_accuracies(scores, same, [pair.fold for pair in pairs])),
        pairs=len(pairs),
        not_found=sum(face is None for face in faces.values()),
        area=area_under_roc(genuine, impostors),
        thresholds=thresholds,
        tar={rate: accepted_share(genuine, thresholds[rate]) for rate in FAR},
        genuine=genuine,
        impostors=impostors,
        rejecting=_rejecting(
            [((face,), score) for face, score in damaged], thresholds[1e-3], assessed=assessed
        ),
        rejecting_as_is=_rejecting(_as_they_are(pairs, faces), thresholds[1e-4], assessed=assessed),
        calibration=_calibration(damaged, thresholds[1e-4]),
    )


def _similarity(one: Face | None, other: Face | None) -> float:
    if one is None or other is None:
        return NOT_FOUND
    return float(one.embedding @ other.embedding)


def _impostors(data: Data, faces: dict[str, Face | None]) -> Scores:
    """Return the cosines of all pairs of different people, many more than the labelled pairs."""
    found = [(file, face) for file, face in faces.items() if face is not None]
    vectors = np.stack([face.embedding for _, face in found])
    people = np.array([data.identity_of(file) for file, _ in found])
    above = np.triu(people[:, None] != people[None, :], 1)
    return np.asarray((vectors @ vectors.T)[above], np.float64)


def _damaged(
    pipeline: FacePipeline,
    data: Data,
    genuine: Sequence[Pair],
    faces: dict[str, Face | None],
    tick: Callable[[], None],
) -> list[tuple[Face, float]]:
    """Return faces of damaged pictures and their similarity to another picture of the person."""
    step = max(1, len(genuine) // DAMAGED_PAIRS)
    result = []
    for number, pair in enumerate(genuine[::step]):
        other = faces[pair.file_b]
        damage = DAMAGES[number % len(DAMAGES)]
        pixels = damage(decode(data.read(pair.file_a), UNLIMITED))
        face = main_face(pipeline, as_file(pixels))
        tick()
        if face is not None and other is not None:
            result.append((face, _similarity(face, other)))
    return result


def _as_they_are(
    pairs: Sequence[Pair], faces: dict[str, Face | None]
) -> list[tuple[tuple[Face, ...], float]]:
    result: list[tuple[tuple[Face, ...], float]] = []
    for pair in pairs:
        one, other = faces[pair.file_a], faces[pair.file_b]
        if pair.same and one is not None and other is not None:
            result.append(((one, other), _similarity(one, other)))
    return result


def _rejecting(
    judged: Sequence[tuple[tuple[Face, ...], float]], threshold: float, *, assessed: bool
) -> dict[str, list[float]]:
    """Compute misses after rejection by each signal of the worst judged face of a pair."""
    scores = np.array([similarity for _, similarity in judged])
    return {
        name: misses_after_rejecting(
            scores,
            np.array([min(signal(face) for face in faces) for faces, _ in judged]),
            threshold,
            REJECTED,
        )
        for name, signal in _signals(assessed).items()
    }


def _calibration(
    damaged: Sequence[tuple[Face, float]], threshold: float
) -> list[tuple[float, Share, int]]:
    ordered = sorted(damaged, key=lambda item: item[0].measures.quality)
    classes = [part for part in np.array_split(np.arange(len(ordered)), 6) if len(part)]
    rows = []
    for part in classes:
        members = [ordered[index] for index in part]
        matched = sum(similarity >= threshold for _, similarity in members)
        mean = float(np.mean([face.measures.quality for face, _ in members]))
        rows.append((mean, share(matched, len(members)), len(members)))
    return rows

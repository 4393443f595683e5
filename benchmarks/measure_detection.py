"""Measure one detector on pictures with known numbers of faces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy_data import Box, Data, Picture
from benchmarks.accuracy_models import MIN_CONFIDENCE, UNLIMITED, as_file, main_face
from benchmarks.damages import turned
from models.errors import ImageTooLarge, UnreadableImage
from models.pictures.decoding import decode
from models.pipeline import FacePipeline
from models.session import Cancellation

ANGLES = (90, 180, 270, 45)


@dataclass
class Count:
    """Faces found, labelled faces, and pictures; ``surplus`` counts additional detections."""

    found: int = 0
    faces: int = 0
    surplus: int = 0
    pictures: int = 0

    @property
    def recall(self) -> float:
        return self.found / self.faces if self.faces else float("nan")


@dataclass
class Detection:
    """Counts of one detector.

    ``by_set``: with the full search. ``by_size``: one detection at that longest side, all sets.
    ``uncounted``: faces found in sets without labels.
    """

    by_set: dict[str, Count] = field(default_factory=dict)
    by_size: dict[int, Count] = field(default_factory=dict)
    uncounted: dict[str, Count] = field(default_factory=dict)
    false_faces: int = 0
    false_in: list[str] = field(default_factory=list)
    without_face: int = 0
    false_by_size: dict[int, int] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)


def measure_detection(pipeline: FacePipeline, data: Data, tick: Callable[[], None]) -> Detection:
    """Measure each file as a worker decodes it, and single detections on all its pixels."""
    result = Detection()
    for picture in data.pictures:
        tick()
        try:
            file = data.read(picture.file)
            faces = pipeline.detect(file, min_confidence=MIN_CONFIDENCE).faces
        except (UnreadableImage, ImageTooLarge, OSError):
            result.unreadable.append(picture.file)
            continue
        found = [face.bounding_box for face in faces]
        _count(result, picture, found, _by_size(pipeline, decode(file, UNLIMITED)))
    return result


def _count(
    result: Detection, picture: Picture, found: Sequence[Box], by_size: dict[int, Sequence[Box]]
) -> None:
    if picture.n_faces is None:
        count = result.uncounted.setdefault(picture.set, Count())
        _add(count, len(found), len(found), len(found))
    elif picture.n_faces == 0:
        result.without_face += 1
        result.false_faces += len(found)
        if found:
            result.false_in.append(picture.file)
        for side, seen in by_size.items():
            result.false_by_size[side] = result.false_by_size.get(side, 0) + len(seen)
    else:
        count = result.by_set.setdefault(picture.set, Count())
        _add(count, faces_among(found, picture), picture.n_faces, len(found))
        for side, seen in by_size.items():
            count = result.by_size.setdefault(side, Count())
            _add(count, faces_among(seen, picture), picture.n_faces, len(seen))


def _add(count: Count, right: int, faces: int, found: int) -> None:
    count.found += right
    count.faces += faces
    count.surplus += found - right
    count.pictures += 1


def faces_among(found: Sequence[Box], picture: Picture) -> int:
    """Count the found faces of a picture.

    With labelled boxes, each face needs its own detection, and each box must hold the other's
    centre: labellers differ in how much of a head is face. With only a number, detections count up
    to that number.
    """
    if not picture.boxes:
        return min(len(found), picture.n_faces or 0)
    left = list(found)
    for labelled in picture.boxes:
        match = next((box for box in left if _same_face(labelled, box)), None)
        if match is not None:
            left.remove(match)
    return len(found) - len(left)


def _same_face(one: Box, other: Box) -> bool:
    return all(
        a[0] <= b[0] + b[2] / 2 <= a[0] + a[2] and a[1] <= b[1] + b[3] / 2 <= a[1] + a[3]
        for a, b in ((one, other), (other, one))
    )


def _by_size(pipeline: FacePipeline, pixels: NDArray[np.uint8]) -> dict[int, Sequence[Box]]:
    detector = pipeline.face_detector
    return {
        side: [
            face.bounding_box
            for face in detector.detect(
                pixels, longest_side=side, floor=MIN_CONFIDENCE, cancellation=Cancellation()
            )
        ]
        for side in detector.sizes
    }


@dataclass(frozen=True)
class Turned:
    """Copies of one-face pictures, turned by an angle.

    ``cosines``: similarities to the upright embeddings. ``left_out``: files that cannot be read, or
    without an upright detection.
    """

    pictures: int
    cosines: tuple[float, ...]
    left_out: tuple[str, ...] = ()

    @property
    def found(self) -> int:
        return len(self.cosines)

    @property
    def median(self) -> float:
        return float(np.median(self.cosines)) if self.cosines else float("nan")


def measure_turned(
    pipeline: FacePipeline, data: Data, tick: Callable[[], None]
) -> dict[int, Turned]:
    """Measure turned copies of the one-face pictures with an upright detection."""
    cosines: dict[int, list[float]] = {angle: [] for angle in ANGLES}
    pictures = 0
    left_out: list[str] = []
    for picture in data.pictures:
        if picture.n_faces != 1:
            continue
        tick()
        try:
            file = data.read(picture.file)
            upright, pixels = main_face(pipeline, file), decode(file, UNLIMITED)
        except (UnreadableImage, ImageTooLarge, OSError):
            upright = None
        if upright is None:
            left_out.append(picture.file)
            continue
        pictures += 1
        for angle in ANGLES:
            face = main_face(pipeline, as_file(turned(pixels, angle)))
            if face is not None:
                cosines[angle].append(float(face.embedding @ upright.embedding))
    return {
        angle: Turned(pictures, tuple(found), tuple(left_out)) for angle, found in cosines.items()
    }

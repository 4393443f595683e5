"""Pictures with known numbers of faces through one detector."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy_data import Data, Picture
from benchmarks.accuracy_models import MIN_CONFIDENCE, UNLIMITED, as_file, main_face
from benchmarks.damages import turned
from models.decoding import decode
from models.errors import LowConfidence, ModelsError, NoFaceFound
from models.pipeline import FacePipeline
from models.search import FaceSearch
from models.session import Cancellation

ANGLES = (90, 180, 270, 45)


@dataclass
class Count:
    """Faces found of faces there are (found more do not count), and pictures."""

    found: int = 0
    faces: int = 0
    surplus: int = 0
    pictures: int = 0

    @property
    def recall(self) -> float:
        return self.found / self.faces if self.faces else float("nan")


@dataclass
class Detection:
    """`by_set`: with the whole search. `by_size`: one look at that longest side, all sets.
    `uncounted`: faces found in sets where nobody counted them."""

    by_set: dict[str, Count] = field(default_factory=dict)
    by_size: dict[int, Count] = field(default_factory=dict)
    uncounted: dict[str, Count] = field(default_factory=dict)
    false_faces: int = 0
    false_in: list[str] = field(default_factory=list)
    without_face: int = 0
    false_by_size: dict[int, int] = field(default_factory=dict)
    unreadable: int = 0


def measure_detection(pipeline: FacePipeline, data: Data, tick: Callable[[], None]) -> Detection:
    result = Detection()
    for picture in data.pictures:
        tick()
        try:
            pixels = decode(data.read(picture.file), UNLIMITED)
        except (ModelsError, OSError):
            result.unreadable += 1
            continue
        _count(result, picture, _found(pipeline, pixels), _by_size(pipeline, pixels))
    return result


def _count(result: Detection, picture: Picture, found: int, by_size: dict[int, int]) -> None:
    if picture.n_faces is None:
        _add(result.uncounted.setdefault(picture.set, Count()), found, found)
    elif picture.n_faces == 0:
        result.without_face += 1
        result.false_faces += found
        if found:
            result.false_in.append(picture.file)
        for side, seen in by_size.items():
            result.false_by_size[side] = result.false_by_size.get(side, 0) + seen
    else:
        _add(result.by_set.setdefault(picture.set, Count()), found, picture.n_faces)
        for side, seen in by_size.items():
            _add(result.by_size.setdefault(side, Count()), seen, picture.n_faces)


def _add(count: Count, found: int, faces: int) -> None:
    count.found += min(found, faces)
    count.faces += faces
    count.surplus += max(0, found - faces)
    count.pictures += 1


def _found(pipeline: FacePipeline, pixels: NDArray[np.uint8]) -> int:
    with suppress(NoFaceFound, LowConfidence):
        return len(
            FaceSearch(pipeline.face_detector).faces(
                pixels,
                min_confidence=MIN_CONFIDENCE,
                max_faces=64,
                cancellation=Cancellation(),
            )
        )
    return 0


def _by_size(pipeline: FacePipeline, pixels: NDArray[np.uint8]) -> dict[int, int]:
    detector = pipeline.face_detector
    return {
        side: len(
            detector.look(
                pixels, longest_side=side, floor=MIN_CONFIDENCE, cancellation=Cancellation()
            )
        )
        for side in detector.sizes
    }


@dataclass(frozen=True)
class Turned:
    """Copies of one-face pictures turned by an angle; `cosines` to the upright embeddings."""

    pictures: int
    cosines: tuple[float, ...]

    @property
    def found(self) -> int:
        return len(self.cosines)

    @property
    def median(self) -> float:
        return float(np.median(self.cosines)) if self.cosines else float("nan")


def measure_turned(
    pipeline: FacePipeline, data: Data, tick: Callable[[], None]
) -> dict[int, Turned]:
    """Of the one-face pictures whose face is found upright."""
    cosines: dict[int, list[float]] = {angle: [] for angle in ANGLES}
    pictures = 0
    for picture in data.pictures:
        if picture.n_faces != 1:
            continue
        tick()
        try:
            pixels = decode(data.read(picture.file), UNLIMITED)
        except (ModelsError, OSError):
            continue
        upright = main_face(pipeline, as_file(pixels))
        if upright is None:
            continue
        pictures += 1
        for angle in ANGLES:
            face = main_face(pipeline, as_file(turned(pixels, angle)))
            if face is not None:
                cosines[angle].append(float(face.embedding @ upright.embedding))
    return {angle: Turned(pictures, tuple(found)) for angle, found in cosines.items()}

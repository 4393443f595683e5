"""What a face detector answers, whatever its family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.errors import LowConfidence, NoFaceFound
from models.session import Cancellation
from models.weights import ModelDescription

CANDIDATE_FLOOR = 0.4
"""Below this it is not even a doubtful face. Measured with YuNet: 62 of 62 one-face pictures score
above 0.7, 37 of 42 pictures without a face below 0.4 (35 below 0.3)."""


@dataclass(frozen=True)
class Detection:
    """One face in the source picture.

    bounding_box: (x, y, width, height), source pixels, sub-pixel; may reach over the edge.
    landmarks: (5, 2) float32, source pixels: left eye, right eye, nose, left mouth corner, right
        mouth corner, left and right as seen in the image.
    detection_confidence: 0..1.
    """

    bounding_box: tuple[float, float, float, float]
    landmarks: NDArray[np.float32]
    detection_confidence: float

    @property
    def area(self) -> float:
        """Of the bounding box, square source pixels."""
        return self.bounding_box[2] * self.bounding_box[3]


class FaceDetector(Protocol):
    """Finds faces; shared by all threads, so nothing about one call is kept."""

    @property
    def description(self) -> ModelDescription: ...

    def detect(
        self,
        image: NDArray[np.uint8],
        *,
        min_confidence: float,
        max_faces: int,
        cancellation: Cancellation,
    ) -> Sequence[Detection]:
        """All candidates at or above CANDIDATE_FLOOR (or `min_confidence` if lower), any order.

        `image`: (height, width, 3) uint8 BGR. `min_confidence` and `max_faces` only tell how hard
        to look. Raises InferenceFailed or InferenceTerminated.
        """
        ...


def most_prominent(
    candidates: Sequence[Detection],
    *,
    min_confidence: float,
    max_faces: int,
    width: int,
    height: int,
) -> tuple[Detection, ...]:
    """The `max_faces` most prominent faces at or above `min_confidence`, most prominent first.

    Prominence is area times detection confidence; of two alike, the one nearer to the centre of
    the picture (`width` x `height`) comes first. Raises NoFaceFound, or LowConfidence when there
    are only doubtful ones.
    """
    if not candidates:
        raise NoFaceFound(width, height)
    accepted = [face for face in candidates if face.detection_confidence >= min_confidence]
    if not accepted:
        best = max(face.detection_confidence for face in candidates)
        raise LowConfidence(best, min_confidence)

    def rank(face: Detection) -> tuple[float, float]:
        x, y, box_width, box_height = face.bounding_box
        off_centre = np.hypot(x + box_width / 2 - width / 2, y + box_height / 2 - height / 2)
        return -face.area * face.detection_confidence, float(off_centre)

    return tuple(sorted(accepted, key=rank)[:max_faces])

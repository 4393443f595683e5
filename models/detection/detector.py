"""What a face detector answers, whatever its family, and which of its candidates count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from models.errors import LowConfidence, NoFaceFound
from models.manifest import ModelDescription
from models.session import Cancellation

CANDIDATE_FLOOR = 0.4
"""Below this it is not even a doubtful face. Measured with YuNet: 62 of 62 one-face pictures score
above 0.7, 37 of 42 pictures without a face below 0.4 (35 below 0.3)."""

SURE = 0.7
"""All of 62 one-face pictures score above it, and no more than 5 of 42 without a face (YuNet)."""

NMS_IOU = 0.3
"""As in OpenCV's FaceDetectorYN; higher keeps doubles on one face."""

MOSTLY = 0.7
"""Share of a box inside a better one's from which it is a part of that face."""

MAX_CANDIDATES = 300
"""Boxes that are compared with each other, best first. Far above the 64 faces of an event: with a
floor of 0 every cell is a candidate, and comparing all of them takes many seconds.
"""


@dataclass(frozen=True)
class Detection:
    """One face in the source picture.

    bounding_box: (x, y, width, height), source pixels, sub-pixel; may reach over the edge.
    landmarks: (5, 2) float32, source pixels: left eye, right eye, nose, left mouth corner, right
        mouth corner, left and right as seen when the face is held upright.
    detection_confidence: 0..1.
    """

    bounding_box: tuple[float, float, float, float]
    landmarks: NDArray[np.float32]
    detection_confidence: float

    @property
    def area(self) -> float:
        """Of the bounding box, square source pixels."""
        return self.bounding_box[2] * self.bounding_box[3]

    @property
    def interocular(self) -> float:
        """Between the eyes, source pixels."""
        return float(np.linalg.norm(self.landmarks[1] - self.landmarks[0]))

    @property
    def roll(self) -> float:
        """Degrees from -180 to 180, positive when the face is turned clockwise."""
        across = self.landmarks[1] - self.landmarks[0]
        return float(np.degrees(np.arctan2(across[1], across[0])))


class FaceDetector(Protocol):
    """Finds faces; shared by all threads, so nothing about one call is kept.

    A detector only looks; how often, at which sizes and which way up is for `search.py`.
    """

    @property
    def description(self) -> ModelDescription: ...

    @property
    def sizes(self) -> tuple[int, ...]:
        """Longest sides, pixels, at which a picture is worth a look; the cheapest first."""
        ...

    def look(
        self,
        image: NDArray[np.uint8],
        *,
        longest_side: int,
        floor: float,
        cancellation: Cancellation,
    ) -> Sequence[Detection]:
        """Upright faces at or above `floor` (0..1) without overlaps, in pixels of `image`.

        `image`: (height, width, 3) uint8 BGR, seen so that its longest side has about
        `longest_side` pixels (a network of one fixed size takes that instead). Raises
        InferenceFailed or InferenceTerminated.
        """
        ...


def without_overlaps(candidates: Sequence[Detection], floor: float) -> tuple[Detection, ...]:
    """Of boxes that overlap by more than NMS_IOU, the one with the highest score."""
    kept = cv2.dnn.NMSBoxes(
        [face.bounding_box for face in candidates],
        [face.detection_confidence for face in candidates],
        floor,
        NMS_IOU,
        top_k=MAX_CANDIDATES,
    )
    return tuple(candidates[index] for index in kept)


def without_parts(candidates: Sequence[Detection]) -> tuple[Detection, ...]:
    """Without those that lie mostly inside a better one: a large look finds eyes and mouths of a
    face that fills the frame, and takes them for faces."""
    ranked = sorted(candidates, key=lambda face: -face.detection_confidence)[:MAX_CANDIDATES]
    kept: list[Detection] = []
    for face in ranked:
        if not any(_share_inside(face, better) > MOSTLY for better in kept):
            kept.append(face)
    return tuple(kept)


def _share_inside(face: Detection, other: Detection) -> float:
    """The share of a face's box that another one covers."""
    x, y, width, height = face.bounding_box
    left, top, other_width, other_height = other.bounding_box
    shared_width = min(x + width, left + other_width) - max(x, left)
    shared_height = min(y + height, top + other_height) - max(y, top)
    return max(0.0, shared_width) * max(0.0, shared_height) / max(face.area, 1e-6)


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
    the picture (`width` x `height`) comes first, and all below SURE come last, for who asks for
    doubtful faces still wants the others first. Raises NoFaceFound, or LowConfidence when there
    are only doubtful ones.
    """
    if not candidates:
        raise NoFaceFound(width, height)
    accepted = [face for face in candidates if face.detection_confidence >= min_confidence]
    if not accepted:
        best = max(face.detection_confidence for face in candidates)
        raise LowConfidence(best, min_confidence)

    def rank(face: Detection) -> tuple[bool, float, float]:
        x, y, box_width, box_height = face.bounding_box
        off_centre = np.hypot(x + box_width / 2 - width / 2, y + box_height / 2 - height / 2)
        doubtful = face.detection_confidence < SURE
        return doubtful, -face.area * face.detection_confidence, float(off_centre)

    return tuple(sorted(accepted, key=rank)[:max_faces])

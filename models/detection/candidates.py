"""Which of a detector's candidates count: overlaps, parts of faces, and prominence."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from models.detection.detector import Detection
from models.errors import LowConfidence, NoFaceFound

CANDIDATE_FLOOR = 0.4
"""Score below which a candidate is dropped. Measured with YuNet: all of 62 one-face pictures score
above 0.7; of 42 pictures without a face, 37 score below 0.4 and 35 below 0.3."""

SURE = 0.7
"""Score of a sure face: all of 62 one-face pictures reach it, and at most 5 of 42 pictures without
a face (YuNet)."""

NMS_IOU = 0.3
"""Overlap above which two boxes mean one face, as in OpenCV's FaceDetectorYN; a higher value keeps
duplicates."""

MOSTLY = 0.7
"""Share of a box inside a better one above which it is a part of that face."""

MAX_CANDIDATES = 300
"""Boxes that are compared with each other, best first. Far above the 64 faces of an event: with a
floor of 0 every cell is a candidate, and comparing all of them takes many seconds."""


def without_overlaps(candidates: Sequence[Detection], floor: float) -> tuple[Detection, ...]:
    """Apply non-maximum suppression: of overlapping boxes, keep the one that scores highest."""
    kept = cv2.dnn.NMSBoxes(
        [face.bounding_box for face in candidates],
        [face.detection_confidence for face in candidates],
        floor,
        NMS_IOU,
        top_k=MAX_CANDIDATES,
    )
    return tuple(candidates[index] for index in kept)


def without_parts(candidates: Sequence[Detection]) -> tuple[Detection, ...]:
    """Drop the candidates that lie mostly inside a better one.

    At large sizes the detector takes eyes and mouths of a face that fills the frame for faces.
    """
    ranked = sorted(candidates, key=lambda face: -face.detection_confidence)[:MAX_CANDIDATES]
    kept: list[Detection] = []
    for face in ranked:
        if not any(_share_inside(face, better) > MOSTLY for better in kept):
            kept.append(face)
    return tuple(kept)


def at_or_above(candidates: Sequence[Detection], minimum: float) -> list[Detection]:
    """Return the candidates whose score is at least ``minimum``."""
    return [face for face in candidates if face.detection_confidence >= minimum]


def most_prominent(
    candidates: Sequence[Detection],
    *,
    min_confidence: float,
    max_faces: int,
    width: int,
    height: int,
) -> tuple[Detection, ...]:
    """Return the ``max_faces`` most prominent faces at or above ``min_confidence``, best first.

    Prominence is area times detection confidence; a tie goes to the face nearer to the centre of
    the picture (``width`` x ``height``). Faces below ``SURE`` come last, however large. Raises
    ``NoFaceFound`` without candidates, and ``LowConfidence`` when all are below the minimum.
    """
    if not candidates:
        raise NoFaceFound(width, height)
    accepted = at_or_above(candidates, min_confidence)
    if not accepted:
        best = max(face.detection_confidence for face in candidates)
        raise LowConfidence(best, min_confidence)

    def rank(face: Detection) -> tuple[bool, float, float]:
        x, y, box_width, box_height = face.bounding_box
        off_centre = np.hypot(x + box_width / 2 - width / 2, y + box_height / 2 - height / 2)
        doubtful = face.detection_confidence < SURE
        return doubtful, -face.area * face.detection_confidence, float(off_centre)

    return tuple(sorted(accepted, key=rank)[:max_faces])


def _share_inside(face: Detection, other: Detection) -> float:
    """Return the share of a face's box that another box covers, 0..1."""
    x, y, width, height = face.bounding_box
    left, top, other_width, other_height = other.bounding_box
    shared_width = min(x + width, left + other_width) - max(x, left)
    shared_height = min(y + height, top + other_height) - max(y, top)
    return max(0.0, shared_width) * max(0.0, shared_height) / max(face.area, 1e-6)

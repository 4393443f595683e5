"""The BlazeFace detector (Bazarevsky et al. 2019, MediaPipe): front camera 128, back camera 256."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from models.detection.candidates import without_overlaps
from models.detection.detector import Detection
from models.detection.resizing import resized
from models.manifest import ModelDescription
from models.session import Cancellation, Session

ANCHOR_GRIDS = ((16, 2), (8, 6))
"""Cells per side and anchors per cell, in the order of the outputs. An anchor is at the centre of
its cell and has the size 1. Source: the anchor options of MediaPipe's face_detection graphs."""

MAX_LOGIT = 80.0
"""Raw scores are clipped to this before the sigmoid (MediaPipe: 100, too much for float32)."""

MOUTH_HALF_WIDTH = 0.414
"""Half the width of the mouth as a share of the distance between the eyes, from the alignment
template: BlazeFace returns only the centre of the mouth."""


class BlazeFaceDetector:
    """BlazeFace has one fixed square input; the picture is fitted into it with black bars.

    Its six points are eyes, nose, mouth centre and ears. The corners of the mouth are derived:
    left and right of its centre, parallel to the eyes. Alignment is therefore a little coarser
    than with five real landmarks.
    """

    def __init__(self, session: Session, description: ModelDescription) -> None:
        self._session = session
        self._description = description
        self._anchors = np.concatenate([_centres(*grid) for grid in ANCHOR_GRIDS])

    @property
    def description(self) -> ModelDescription:
        return self._description

    @property
    def sizes(self) -> tuple[int, ...]:
        return (self._description.input_size[0],)

    def detect(
        self,
        image: NDArray[np.uint8],
        *,
        longest_side: int,
        floor: float,
        cancellation: Cancellation,
    ) -> Sequence[Detection]:
        cancellation.raise_if_cancelled()
        side = self._description.input_size[0]
        smaller, factors = resized(image, side)
        height, width = smaller.shape[:2]
        top, left = (side - height) // 2, (side - width) // 2
        square = np.zeros((1, side, side, 3), dtype=np.float32)
        square[0, top : top + height, left : left + width] = smaller[:, :, ::-1]
        tensor = (square - self._description.mean) / self._description.scale
        outputs = self._session.run(tensor.astype(np.float32), cancellation)
        boxes, points, scores = self._decode(outputs, floor)
        shift = np.array([left, top])
        boxes[:, :2] -= shift
        boxes *= np.tile(factors, 2)
        landmarks = five_landmarks((points - shift) * factors)
        candidates = [
            Detection((x, y, box_width, box_height), five, float(score))
            for (x, y, box_width, box_height), five, score in zip(
                boxes.tolist(), landmarks, scores, strict=True
            )
            if box_width > 0 and box_height > 0
        ]
        return without_overlaps(candidates, floor)

    def _decode(
        self, outputs: Mapping[str, NDArray[np.float32]], floor: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float32]]:
        """Decode boxes (n, 4), points (n, 6, 2) and scores (n,), in network pixels.

        A box is x, y, width, height.
        """
        side = self._description.input_size[0]
        scores, raw = _outputs(outputs)
        found = np.flatnonzero(scores >= floor)
        # Every row is centre, size and six points: eight pairs in units of the square.
        pairs = raw[found].astype(np.float64).reshape(-1, 8, 2) / side
        centres = pairs[:, :1] + self._anchors[found, np.newaxis]
        points = pairs[:, 2:] + self._anchors[found, np.newaxis]
        corners = (centres[:, 0] - pairs[:, 1] / 2) * side
        return np.hstack([corners, pairs[:, 1] * side]), points * side, scores[found]


def five_landmarks(points: NDArray[np.float64]) -> NDArray[np.float32]:
    """Convert BlazeFace's points (n, 6, 2), subject's right eye first, to landmarks (n, 5, 2)."""
    left_eye, right_eye, nose, mouth = (points[:, index] for index in range(4))
    half = (right_eye - left_eye) * MOUTH_HALF_WIDTH
    five = np.stack([left_eye, right_eye, nose, mouth - half, mouth + half], axis=1)
    return five.astype(np.float32)


def _outputs(
    outputs: Mapping[str, NDArray[np.float32]],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return scores (896,) in 0..1 and raw rows (896, 16), the finer grid first.

    The outputs are recognised by their shapes.
    """
    tensors = sorted(outputs.values(), key=lambda tensor: -tensor.shape[1])
    logits = np.concatenate([t[0, :, 0] for t in tensors if t.shape[2] == 1])
    rows = np.concatenate([t[0] for t in tensors if t.shape[2] == 16])
    scores = 1.0 / (1.0 + np.exp(-np.clip(logits, -MAX_LOGIT, MAX_LOGIT)))
    return scores, rows


def _centres(cells: int, anchors: int) -> NDArray[np.float64]:
    """Return a grid's anchor centres: (cells * cells * anchors, 2), x and y in 0..1, by row."""
    rows, columns = np.mgrid[0:cells, 0:cells]
    centres = (np.stack([columns.ravel(), rows.ravel()], axis=1) + 0.5) / cells
    return np.repeat(centres, anchors, axis=0)

"""The YuNet detector (Wu et al. 2023, libfacedetection): one small network, any picture size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from models.detection.candidates import MAX_CANDIDATES, without_overlaps
from models.detection.detector import Detection
from models.detection.resizing import padded, resized
from models.manifest import ModelDescription
from models.session import Cancellation, Session

STRIDES = (8, 16, 32)

SIZES = (320, 640, 1280)
"""320 costs a quarter of 640 and suits large faces better (a tight crop scores 0.94 at 320, 0.71 at
640); 640 finds the small faces of a group, 1280 those of a large frame."""


class YuNetDetector:
    """Keeps no state between calls; thresholds are arguments."""

    def __init__(self, session: Session, description: ModelDescription) -> None:
        self._session = session
        self._description = description

    @property
    def description(self) -> ModelDescription:
        return self._description

    @property
    def sizes(self) -> tuple[int, ...]:
        return SIZES

    def detect(
        self,
        image: NDArray[np.uint8],
        *,
        longest_side: int,
        floor: float,
        cancellation: Cancellation,
    ) -> Sequence[Detection]:
        cancellation.raise_if_cancelled()
        smaller, factors = resized(image, longest_side)
        tensor = padded(smaller, STRIDES[-1])
        outputs = self._session.run(tensor, cancellation)
        boxes, landmarks, scores = decode_outputs(outputs, tensor.shape[3], floor)
        # From network pixels to picture pixels.
        candidates = [
            Detection((x, y, width, height), points, score)
            for (x, y, width, height), points, score in zip(
                (boxes * np.tile(factors, 2)).tolist(),
                (landmarks * factors).astype(np.float32),
                scores.tolist(),
                strict=True,
            )
        ]
        return without_overlaps(candidates, floor)


def decode_outputs(
    outputs: Mapping[str, NDArray[np.float32]], padded_width: int, floor: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Decode boxes (n, 4), landmarks (n, 5, 2) and scores (n,), in network pixels.

    A box is x, y, width, height. Formulas as in OpenCV's face_detect.cpp: score = sqrt(class *
    objectness), positions in cells of the stride, sizes as exponents. YuNet names the landmarks
    from the subject's view (right eye first), which is our order as seen in the image.
    """
    classes, objectness = (
        np.concatenate([outputs[f"{part}_{stride}"][0, :, 0] for stride in STRIDES]).clip(0, 1)
        for part in ("cls", "obj")
    )
    every_score = np.sqrt(classes.astype(np.float64) * objectness)
    boxes, landmarks, scores = [np.empty((0, 4))], [np.empty((0, 5, 2))], [np.empty(0)]
    ends = np.cumsum([outputs[f"cls_{stride}"].shape[1] for stride in STRIDES])
    for stride, score in zip(STRIDES, np.split(every_score, ends[:-1]), strict=True):
        # Nearly all cells, often a whole stride, are background: decode only the others.
        cells = np.flatnonzero(score >= floor)
        if not cells.size:
            continue
        origin = np.stack(np.divmod(cells, padded_width // stride)[::-1], axis=1)
        box = outputs[f"bbox_{stride}"][0, cells].astype(np.float64)
        size = np.exp(box[:, 2:]) * stride
        boxes.append(np.hstack([(origin + box[:, :2]) * stride - size / 2, size]))
        points = outputs[f"kps_{stride}"][0, cells].astype(np.float64).reshape(-1, 5, 2)
        landmarks.append((points + origin[:, np.newaxis]) * stride)
        scores.append(score[cells])
    found = np.concatenate(scores)
    best = np.argsort(-found, kind="stable")[:MAX_CANDIDATES]
    return np.concatenate(boxes)[best], np.concatenate(landmarks)[best], found[best]

"""The YuNet detector (Wu et al. 2023, libfacedetection): one small network, any picture size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from models.detection import CANDIDATE_FLOOR, Detection
from models.session import Cancellation, Session
from models.weights import ModelDescription

STRIDES = (8, 16, 32)
NMS_IOU = 0.3
"""As in OpenCV's FaceDetectorYN; higher keeps doubles on one face."""

MAX_CANDIDATES = 5000
"""Boxes that enter the suppression of overlaps, best first; OpenCV's top_k."""

SMALL_SIDE, LARGE_SIDE = 320, 640
"""Longest side of what the network sees. 320 costs a quarter of 640 and finds large faces better;
640 finds the small ones of a group."""


class YuNetDetector:
    """Keeps nothing between calls; thresholds come with each."""

    def __init__(self, session: Session, description: ModelDescription) -> None:
        self._session = session
        self._description = description

    @property
    def description(self) -> ModelDescription:
        return self._description

    def detect(
        self,
        image: NDArray[np.uint8],
        *,
        min_confidence: float,
        max_faces: int,
        cancellation: Cancellation,
    ) -> Sequence[Detection]:
        """Candidates from the sizes that the picture needs.

        One wanted face: 320, and 640 only when 320 shows none at or above `min_confidence`.
        Several: both sizes, joined, because a face that fills the frame scores badly at 640
        (0.71 on average for tight crops, 0.94 at 320) and small ones are lost at 320.
        """
        floor = min(CANDIDATE_FLOOR, min_confidence)
        found: list[Detection] = []
        for scale in _scales(image):
            found += self.detect_at(image, scale, floor, cancellation)
            if max_faces == 1 and any(f.detection_confidence >= min_confidence for f in found):
                break
        return _without_overlaps(found, floor)

    def detect_at(
        self, image: NDArray[np.uint8], scale: float, floor: float, cancellation: Cancellation
    ) -> Sequence[Detection]:
        """Candidates at or above `floor` in the picture resized by `scale`, source pixels."""
        cancellation.raise_if_cancelled()
        resized, factors = _resize(image, scale)
        tensor = _padded_tensor(resized)
        outputs = self._session.run(tensor, cancellation)
        boxes, landmarks, scores = _decode(outputs, tensor.shape[3], floor)
        # From network pixels to source pixels.
        candidates = [
            Detection((x, y, width, height), points, score)
            for (x, y, width, height), points, score in zip(
                (boxes * np.tile(factors, 2)).tolist(),
                (landmarks * factors).astype(np.float32),
                scores.tolist(),
                strict=True,
            )
        ]
        return _without_overlaps(candidates, floor)


def _without_overlaps(candidates: Sequence[Detection], floor: float) -> Sequence[Detection]:
    """Of boxes that overlap by more than NMS_IOU, the one with the highest score."""
    kept = cv2.dnn.NMSBoxes(
        [face.bounding_box for face in candidates],
        [face.detection_confidence for face in candidates],
        floor,
        NMS_IOU,
        top_k=MAX_CANDIDATES,
    )
    return tuple(candidates[index] for index in kept)


def _scales(image: NDArray[np.uint8]) -> tuple[float, ...]:
    """One scale for each size worth a look, small first.

    A tiny picture is enlarged to the small size: the landmarks come out finer (LFW's 250 pixels:
    99.5 % of 1,200 pairs right, in place of 99.2 %). The large size only ever shrinks.
    """
    longest = max(image.shape[:2])
    small, large = SMALL_SIDE / longest, min(1.0, LARGE_SIDE / longest)
    return (small,) if large <= small else (small, large)


def _resize(
    image: NDArray[np.uint8], scale: float
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The resized picture and (x, y) factors that lead back to source pixels."""
    height, width = image.shape[:2]
    new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
    factors = np.array([width / new_width, height / new_height])
    if (new_width, new_height) == (width, height):
        return image, factors
    # Area averaging, so that a large picture does not alias when it shrinks.
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    resized = cv2.resize(image, (new_width, new_height), interpolation=interpolation)
    return np.asarray(resized, dtype=np.uint8), factors


def _padded_tensor(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(1, 3, H, W) float32 BGR 0..255, zeros right and below up to a multiple of 32."""
    height, width = image.shape[:2]
    tensor = np.zeros((1, 3, -(-height // 32) * 32, -(-width // 32) * 32), dtype=np.float32)
    tensor[0, :, :height, :width] = image.transpose(2, 0, 1)
    return tensor


def _decode(
    outputs: Mapping[str, NDArray[np.float32]], padded_width: int, floor: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Boxes (n, 4) as x, y, width, height, landmarks (n, 5, 2) and scores (n,), network pixels.

    Formulas as in OpenCV's face_detect.cpp: score = sqrt(class * objectness), positions in cells
    of the stride, sizes as exponents. YuNet names the landmarks from the subject's view (right
    eye first), which is our order as seen in the image.
    """
    boxes, landmarks, scores = [], [], []
    for stride in STRIDES:
        class_score = np.clip(outputs[f"cls_{stride}"][0, :, 0], 0.0, 1.0)
        objectness = np.clip(outputs[f"obj_{stride}"][0, :, 0], 0.0, 1.0)
        score = np.sqrt(class_score.astype(np.float64) * objectness)
        # Nearly all cells are background: decode only the others.
        cells = np.flatnonzero(score >= floor)
        origin = np.stack(np.divmod(cells, padded_width // stride)[::-1], axis=1)
        box = outputs[f"bbox_{stride}"][0, cells].astype(np.float64)
        size = np.exp(box[:, 2:]) * stride
        boxes.append(np.hstack([(origin + box[:, :2]) * stride - size / 2, size]))
        points = outputs[f"kps_{stride}"][0, cells].astype(np.float64).reshape(-1, 5, 2)
        landmarks.append((points + origin[:, np.newaxis]) * stride)
        scores.append(score[cells])
    return np.concatenate(boxes), np.concatenate(landmarks), np.concatenate(scores)

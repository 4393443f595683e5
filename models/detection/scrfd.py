"""The SCRFD detector (Guo et al. 2021, InsightFace), in its variants with five landmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from models.detection.candidates import without_overlaps
from models.detection.detector import Detection
from models.detection.resizing import padded, resized
from models.errors import InferenceFailed
from models.manifest import ModelDescription
from models.session import Cancellation, Session

Tensor = NDArray[np.float32]
Level = tuple[Tensor, Tensor, Tensor]
"""One stride's scores (n,), distances to the four sides of the box (n, 4) and points (n, 10)."""

STRIDES = (8, 16, 32)
ANCHORS = 2
SIZES = (320, 640, 1280)


class ScrfdDetector:
    """SCRFD takes any picture size; its distances and offsets are in units of the stride."""

    def __init__(self, session: Session, description: ModelDescription) -> None:
        self._session = session
        self._description = description

    @property
    def description(self) -> ModelDescription:
        return self._description

    @property
    def sizes(self) -> tuple[int, ...]:
        fixed = self._description.input_size[0]
        return (fixed,) if fixed else SIZES

    def detect(
        self,
        image: NDArray[np.uint8],
        *,
        longest_side: int,
        floor: float,
        cancellation: Cancellation,
    ) -> Sequence[Detection]:
        cancellation.raise_if_cancelled()
        fixed = self._description.input_size[0]
        smaller, factors = resized(image, fixed or longest_side)
        tensor = padded(smaller[:, :, ::-1], fixed or STRIDES[-1])
        # Normalised after padding, as in the reference code: the borders are black, not grey.
        tensor = (tensor - self._description.mean) / self._description.scale
        outputs = self._session.run(tensor.astype(np.float32), cancellation)
        candidates: list[Detection] = []
        for stride, level in zip(STRIDES, self._levels(outputs), strict=True):
            candidates += _decode(level, stride, tensor.shape[3] // stride, factors, floor)
        return without_overlaps(candidates, floor)

    def _levels(self, outputs: Mapping[str, Tensor]) -> list[Level]:
        """Group the outputs by stride, recognised by their shapes.

        Published graphs name their outputs by numbers, and some have a batch dimension. Raises
        ``InferenceFailed`` when the shapes do not fit.
        """
        flat = [tensor.reshape(-1, tensor.shape[-1]) for tensor in outputs.values()]
        by_kind = [
            sorted((t for t in flat if t.shape[1] == columns), key=lambda t: -len(t))
            for columns in (1, 4, 10)
        ]
        if [len(kind) for kind in by_kind] != [len(STRIDES)] * 3:
            shapes = [tensor.shape for tensor in outputs.values()]
            raise InferenceFailed(self._description.name, f"outputs {shapes} are not SCRFD's")
        scores, boxes, points = by_kind
        return [(s[:, 0], b, p) for s, b, p in zip(scores, boxes, points, strict=True)]


def _decode(
    level: Level, stride: int, columns: int, factors: NDArray[np.float64], floor: float
) -> list[Detection]:
    """Decode the boxes and landmarks of one stride.

    ``columns``: cells in a row; ``factors``: (x, y), from network pixels to picture pixels.
    """
    scores, boxes, points = level
    found = np.flatnonzero(scores >= floor)
    # Two anchors at the corner of each cell, cells row by row.
    row, column = np.divmod(found // ANCHORS, columns)
    origin = np.stack([column, row], axis=1) * float(stride)
    start = (origin - boxes[found, :2] * stride) * factors
    end = (origin + boxes[found, 2:] * stride) * factors
    landmarks = (origin[:, None] + points[found].reshape(-1, 5, 2) * stride) * factors
    return [
        Detection((x, y, width, height), five, float(score))
        for (x, y), (width, height), five, score in zip(
            start.tolist(),
            (end - start).tolist(),
            landmarks.astype(np.float32),
            scores[found],
            strict=True,
        )
        if width > 0 and height > 0
    ]

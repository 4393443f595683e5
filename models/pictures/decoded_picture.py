"""A picture in memory, which may be smaller than its file says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.detection.detector import Detection


@dataclass(frozen=True)
class Picture:
    """`pixels`: (rows, columns, 3) uint8 BGR. `width`, `height`: of the source, after EXIF
    orientation. `factor`: source pixels to each of them, exactly; their sides are rounded up.
    `beyond_left`, `beyond_top`: source pixels by which they begin before the source does, because
    it was turned or mirrored after its sides had been rounded up."""

    pixels: NDArray[np.uint8]
    width: int
    height: int
    factor: int = 1
    beyond_left: int = 0
    beyond_top: int = 0

    @classmethod
    def whole(cls, pixels: NDArray[np.uint8]) -> Picture:
        """One with all its pixels."""
        height, width = pixels.shape[:2]
        return cls(pixels, width, height)

    @property
    def is_reduced(self) -> bool:
        """Whether the source has more pixels."""
        return self.factor > 1

    def in_source(self, face: Detection) -> Detection:
        """A face that was found in `pixels`, in source pixels."""
        if not self.is_reduced:
            return face
        x, y, width, height = (side * self.factor for side in face.bounding_box)
        beyond = np.array([self.beyond_left, self.beyond_top], dtype=np.float32)
        return Detection(
            bounding_box=(x - self.beyond_left, y - self.beyond_top, width, height),
            landmarks=face.landmarks * np.float32(self.factor) - beyond,
            detection_confidence=face.detection_confidence,
        )

"""A picture in memory, which may be smaller than its file says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.detection import Detection


@dataclass(frozen=True)
class Picture:
    """`pixels`: (rows, columns, 3) uint8 BGR. `width`, `height`: of the source, after EXIF
    orientation; whole multiples of the pixels' own where it is reduced, but for rounding."""

    pixels: NDArray[np.uint8]
    width: int
    height: int

    @classmethod
    def whole(cls, pixels: NDArray[np.uint8]) -> Picture:
        """One with all its pixels."""
        height, width = pixels.shape[:2]
        return cls(pixels, width, height)

    @property
    def is_reduced(self) -> bool:
        """Whether the source has more pixels."""
        return self.pixels.shape[:2] != (self.height, self.width)

    def in_source(self, face: Detection) -> Detection:
        """A face that was found in `pixels`, in source pixels."""
        if not self.is_reduced:
            return face
        rows, columns = self.pixels.shape[:2]
        across, down = self.width / columns, self.height / rows
        x, y, width, height = face.bounding_box
        return Detection(
            bounding_box=(x * across, y * down, width * across, height * down),
            landmarks=face.landmarks * np.array([across, down], dtype=np.float32),
            detection_confidence=face.detection_confidence,
        )

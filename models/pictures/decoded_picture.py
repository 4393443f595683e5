"""A decoded picture, which may have fewer pixels than its file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class DecodedPicture:
    """The pixels of a picture, and how they map to those of its file (the source).

    pixels: (rows, columns, 3) uint8 BGR.
    width, height: of the source, after EXIF orientation.
    factor: source pixels per pixel, on each side; the sides of a reduced picture are rounded up.
    beyond_left, beyond_top: source pixels by which the picture starts before the source, because
        it was rotated or mirrored after its sides had been rounded up.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    factor: int = 1
    beyond_left: int = 0
    beyond_top: int = 0

    @classmethod
    def whole(cls, pixels: NDArray[np.uint8]) -> DecodedPicture:
        """Create a picture that has all pixels of its source."""
        height, width = pixels.shape[:2]
        return cls(pixels, width, height)

    @property
    def is_reduced(self) -> bool:
        """Whether the source has more pixels."""
        return self.factor > 1

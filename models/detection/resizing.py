"""Resizing and padding of pictures for a detector."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def resized(image: Pixels, longest_side: int) -> tuple[Pixels, NDArray[np.float64]]:
    """Return the picture with that longest side, and the (x, y) factors back to its own pixels."""
    height, width = image.shape[:2]
    scale = longest_side / max(height, width)
    new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
    factors = np.array([width / new_width, height / new_height])
    if (new_width, new_height) == (width, height):
        return image, factors
    # Area averaging keeps a large picture from aliasing as it shrinks.
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    smaller = cv2.resize(image, (new_width, new_height), interpolation=interpolation)
    return np.asarray(smaller, dtype=np.uint8), factors


def padded(image: Pixels, multiple: int) -> NDArray[np.float32]:
    """Return the picture as a tensor (1, 3, H, W) float32, in its own channel order and values.

    Zeros fill it on the right and below, up to a multiple of ``multiple`` pixels.
    """
    height, width = image.shape[:2]
    full_height, full_width = (-(-side // multiple) * multiple for side in (height, width))
    tensor = np.zeros((1, 3, full_height, full_width), dtype=np.float32)
    tensor[0, :, :height, :width] = image.transpose(2, 0, 1)
    return tensor

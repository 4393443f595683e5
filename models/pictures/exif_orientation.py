"""EXIF orientation: how a stored picture is rotated or mirrored for display."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

ORIENTATION_TAG = 0x0112

_ROTATIONS = {
    3: cv2.ROTATE_180,
    6: cv2.ROTATE_90_CLOCKWISE,
    7: cv2.ROTATE_180,  # after a transposition
    8: cv2.ROTATE_90_COUNTERCLOCKWISE,
}
_FLIPS = {2: 1, 4: 0}  # cv2.flip: 1 left to right, 0 top to bottom


def exif_orientation(exif: bytes | None) -> int:
    """Read the orientation from a raw EXIF block: 1 (upright) to 8; 1 when there is none."""
    if not exif:
        return 1
    block = Image.Exif()
    try:
        block.load(exif)
        return int(block.get(ORIENTATION_TAG, 1))
    except Exception:
        # A damaged EXIF block does not make the picture unreadable: use it as stored.
        return 1


def swaps_sides(orientation: int) -> bool:
    """Whether ``upright`` exchanges width and height."""
    return orientation in (5, 6, 7, 8)


def exchanged_edges(orientation: int) -> tuple[bool, bool]:
    """Return whether ``upright`` moves the right or bottom edge to the left, and to the top."""
    return orientation in (2, 3, 6, 7), orientation in (3, 4, 7, 8)


def upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Rotate and mirror the picture for display; unknown orientations change nothing.

    Source: EXIF 2.32, tag 0x0112.
    """
    if orientation in (5, 7):
        pixels = np.asarray(cv2.transpose(pixels), dtype=np.uint8)
    if orientation in _ROTATIONS:
        pixels = np.asarray(cv2.rotate(pixels, _ROTATIONS[orientation]), dtype=np.uint8)
    if orientation in _FLIPS:
        pixels = np.asarray(cv2.flip(pixels, _FLIPS[orientation]), dtype=np.uint8)
    return pixels

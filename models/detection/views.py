"""Views of a picture: parts of it, resized and rotated, with the way back to its pixels."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.detection.detector import Detection
from models.detection.resizing import resized

Pixels = NDArray[np.uint8]

MARGIN = 0.5
"""Margin of a close-up on each side, as a share of the longer side of the face's box: room to
rotate the face."""

_ROTATIONS = {
    1: cv2.ROTATE_90_CLOCKWISE,
    2: cv2.ROTATE_180,
    3: cv2.ROTATE_90_COUNTERCLOCKWISE,
}


@dataclass(frozen=True)
class View:
    """A view of a source picture.

    pixels: (height, width, 3) uint8 BGR.
    to_source: (2, 3) float64, the affine map from pixels of the view to source pixels.
    """

    pixels: Pixels
    to_source: NDArray[np.float64]

    def in_source(self, face: Detection) -> Detection:
        """Convert a face of the view to source pixels; the box is the upright one around it."""
        x, y, width, height = face.bounding_box
        corners = np.array(
            [[x, y], [x + width, y], [x, y + height], [x + width, y + height]], dtype=np.float64
        )
        mapped = self._mapped(corners)
        low, high = mapped.min(axis=0), mapped.max(axis=0)
        return Detection(
            bounding_box=(*low.tolist(), *(high - low).tolist()),
            landmarks=self._mapped(face.landmarks.astype(np.float64)).astype(np.float32),
            detection_confidence=face.detection_confidence,
        )

    def _mapped(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(points @ self.to_source[:, :2].T + self.to_source[:, 2])


def shrunk(image: Pixels, longest_side: int) -> View:
    """Return the whole picture, resized to that longest side, pixels."""
    pixels, (x, y) = resized(image, longest_side)
    return View(pixels, np.array([[x, 0.0, 0.0], [0.0, y, 0.0]]))


def close_up(image: Pixels, box: tuple[float, float, float, float], side: int) -> View:
    """Return a square of ``side`` pixels centred on a face's box, black outside the picture."""
    x, y, width, height = box
    half = max(width, height) * (0.5 + MARGIN)
    left, top = round(x + width / 2 - half), round(y + height / 2 - half)
    length = max(1, round(2 * half))
    square = np.zeros((length, length, 3), dtype=np.uint8)
    rows = slice(max(0, top), max(0, min(image.shape[0], top + length)))
    columns = slice(max(0, left), max(0, min(image.shape[1], left + length)))
    square[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = image[
        rows, columns
    ]
    pixels, (factor, _) = resized(square, side)
    return View(pixels, np.array([[factor, 0.0, left], [0.0, factor, top]]))


def quarter_turned(view: View, turns: int) -> View:
    """Rotate the view clockwise by ``turns`` (0 to 3) right angles, without interpolation."""
    if turns == 0:
        return view
    height, width = view.pixels.shape[:2]
    # Maps a point (x, y) of the rotated view into the view; coordinates of pixel edges.
    back = {
        1: np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, height], [0.0, 0.0, 1.0]]),
        2: np.array([[-1.0, 0.0, width], [0.0, -1.0, height], [0.0, 0.0, 1.0]]),
        3: np.array([[0.0, -1.0, width], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
    }[turns]
    pixels = np.asarray(cv2.rotate(view.pixels, _ROTATIONS[turns]), dtype=np.uint8)
    return View(pixels, view.to_source @ back)


def tilted(view: View, degrees: float) -> View:
    """Rotate the view clockwise around its centre; same size, bilinear."""
    height, width = view.pixels.shape[:2]
    # OpenCV counts anti-clockwise.
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), -degrees, 1.0)
    pixels = cv2.warpAffine(view.pixels, turn, (width, height), flags=cv2.INTER_LINEAR)
    back = np.vstack([cv2.invertAffineTransform(turn), [0.0, 0.0, 1.0]])
    return View(np.asarray(pixels, dtype=np.uint8), view.to_source @ back)

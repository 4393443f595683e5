"""A detector with the arguments that all its runs of one search share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.detection.detector import Detection, FaceDetector
from models.detection.views import View, close_up
from models.session import Cancellation

Pixels = NDArray[np.uint8]


class MorePixelsNeeded(Exception):
    """A close-up of a reduced picture would have to be enlarged; search the whole picture.

    Enlarged pixels are misleading: the back of a head scores 0.82 at a quarter of the size, and
    0.33 in the whole picture.
    """


@dataclass(frozen=True)
class BoundDetector:
    """Runs a detector on a picture, on views of it, and on close-ups of its faces.

    ``reduced``: the source of the picture has more pixels.
    """

    detector: FaceDetector
    floor: float
    cancellation: Cancellation
    reduced: bool = False

    def detect(self, image: Pixels, longest_side: int) -> Sequence[Detection]:
        """Detect faces in a picture resized to that longest side, in pixels of ``image``."""
        return self.detector.detect(
            image, longest_side=longest_side, floor=self.floor, cancellation=self.cancellation
        )

    def detect_in(self, view: View) -> list[Detection]:
        """Detect faces in a view at its own size, in pixels of its source picture."""
        side = max(view.pixels.shape[:2])
        return [view.in_source(face) for face in self.detect(view.pixels, side)]

    def close_up(self, image: Pixels, face: Detection, side: int) -> View:
        """Return a close-up of a face, ``side`` pixels square. Raises ``MorePixelsNeeded``."""
        view = close_up(image, face.bounding_box, side)
        if self.reduced and view.to_source[0, 0] < 1.0:
            raise MorePixelsNeeded
        return view

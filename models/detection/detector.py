"""The interface of every face detector, and the faces that it returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.manifest import ModelDescription
from models.pictures.decoded_picture import DecodedPicture
from models.session import Cancellation


@dataclass(frozen=True)
class Detection:
    """One detected face.

    bounding_box: (x, y, width, height), pixels, sub-pixel; may extend beyond the picture.
    landmarks: (5, 2) float32, pixels: left eye, right eye, nose, left mouth corner, right mouth
        corner, where left and right are as seen when the face is upright.
    detection_confidence: 0..1.
    """

    bounding_box: tuple[float, float, float, float]
    landmarks: NDArray[np.float32]
    detection_confidence: float

    @property
    def area(self) -> float:
        """Area of the bounding box, square pixels."""
        return self.bounding_box[2] * self.bounding_box[3]

    @property
    def interocular(self) -> float:
        """Distance between the eyes, pixels."""
        return float(np.linalg.norm(self.landmarks[1] - self.landmarks[0]))

    @property
    def roll(self) -> float:
        """In-plane rotation in degrees, -180 to 180, positive clockwise."""
        across = self.landmarks[1] - self.landmarks[0]
        return float(np.degrees(np.arctan2(across[1], across[0])))

    def in_source(self, picture: DecodedPicture) -> Detection:
        """Convert this face of ``picture.pixels`` to pixels of the picture's source."""
        if not picture.is_reduced:
            return self
        x, y, width, height = (side * picture.factor for side in self.bounding_box)
        beyond = np.array([picture.beyond_left, picture.beyond_top], dtype=np.float32)
        return Detection(
            bounding_box=(x - picture.beyond_left, y - picture.beyond_top, width, height),
            landmarks=self.landmarks * np.float32(picture.factor) - beyond,
            detection_confidence=self.detection_confidence,
        )


class FaceDetector(Protocol):
    """Finds upright faces at one size; ``face_search`` decides on sizes and rotations.

    All threads share a detector, so it keeps no state between calls.
    """

    @property
    def description(self) -> ModelDescription:
        """The manifest entry of the model."""
        ...

    @property
    def sizes(self) -> tuple[int, ...]:
        """Longest sides in pixels at which to search a picture, the cheapest first."""
        ...

    def detect(
        self,
        image: NDArray[np.uint8],
        *,
        longest_side: int,
        floor: float,
        cancellation: Cancellation,
    ) -> Sequence[Detection]:
        """Find upright faces at or above ``floor`` (0..1), without overlaps.

        ``image``: (height, width, 3) uint8 BGR; the faces are in its pixels. It is resized so
        that its longest side has about ``longest_side`` pixels, which a network with a fixed
        input size ignores. Raises ``InferenceFailed`` or ``InferenceTerminated``.
        """
        ...

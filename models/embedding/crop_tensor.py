"""From an aligned crop to what a network takes of it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from models.manifest import ModelDescription


def crop_tensor(crop: NDArray[np.uint8], description: ModelDescription) -> NDArray[np.float32]:
    """(1, 3, 112, 112) float32 in the network's channel order and scale.

    `crop`: (112, 112, 3) uint8 BGR. The description must be right: 0..255 in place of -1..1 costs
    fr_feature a third of its accuracy (66.7 % in place of 99.2 % on LFW).
    """
    # In one pass: through numpy, turning pixels to planes takes three times as long.
    planes = cv2.dnn.blobFromImage(crop, swapRB=description.channels == "rgb")
    if (description.mean, description.scale) != (0.0, 1.0):
        planes = (planes - description.mean) / description.scale
    return np.asarray(planes, dtype=np.float32)

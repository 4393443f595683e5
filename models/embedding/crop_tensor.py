"""From an aligned crop to the input tensor of a network."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from models.manifest import ModelDescription


def crop_tensor(crop: NDArray[np.uint8], description: ModelDescription) -> NDArray[np.float32]:
    """Return the tensor (1, 3, 112, 112) float32, in the network's channel order and scale.

    ``crop``: (112, 112, 3) uint8 BGR. The description must be right: with values in 0..255 instead
    of -1..1, fr_feature has 66.7 % accuracy on LFW instead of 99.2 %.
    """
    # One pass: with numpy, turning pixels into planes takes three times as long.
    planes = cv2.dnn.blobFromImage(crop, swapRB=description.channels == "rgb")
    if (description.mean, description.scale) != (0.0, 1.0):
        planes = (planes - description.mean) / description.scale
    return np.asarray(planes, dtype=np.float32)

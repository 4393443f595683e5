"""The portrait that ships with the models, for warm-up and health checks."""

from __future__ import annotations

from importlib import resources

import numpy as np
from numpy.typing import NDArray

from models.pictures.decoding import DecodeLimits, decode

BUILT_IN_PICTURE = "data/portrait.jpg"
"""One face, 160 pixels high: Grace Hopper, U.S. Navy, public domain."""


def built_in_picture() -> bytes:
    """Return the portrait as a JPEG file."""
    return resources.files("models").joinpath(BUILT_IN_PICTURE).read_bytes()


def built_in_pixels() -> NDArray[np.uint8]:
    """Return the decoded portrait: (height, width, 3) uint8 BGR."""
    return decode(built_in_picture(), DecodeLimits())

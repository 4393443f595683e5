"""The decoder on damaged pictures: pixels within the limits, or one of its two errors."""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from models.errors import ImageTooLarge, UnreadableImage
from models.pictures.decoding import MIN_SIDE_PX, DecodeLimits, decode
from tools.fuzz.hostile_pictures import Recipe, recipes

inputs = recipes

#: Low, so that memory beyond them shows in the size of the process.
LIMITS = DecodeLimits(max_bytes=1 << 20, max_pixels=1_000_000)


def check(recipe: Recipe) -> int:
    """Decode the picture after each change of the recipe; return the number of pictures.

    Raises what the decoder should not.
    """
    pictures = recipe.cook_step_by_step()
    for picture in pictures:
        _check(picture)
    return len(pictures)


def _check(picture: bytes) -> None:
    with suppress(UnreadableImage, ImageTooLarge):
        pixels = decode(picture, LIMITS)
        height, width, channels = pixels.shape
        assert pixels.dtype == np.uint8
        assert channels == 3
        assert height * width <= LIMITS.max_pixels
        assert min(height, width) >= MIN_SIDE_PX

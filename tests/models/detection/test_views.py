"""Views of a picture, and the way back to its pixels."""

from __future__ import annotations

import numpy as np
import pytest

from models.detection.detector import Detection
from models.detection.views import close_up, quarter_turned, shrunk, tilted


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_views_map_back_to_the_picture(turns: int) -> None:
    """A mark in any kind of view maps to its position in the picture."""
    image = np.zeros((200, 300, 3), np.uint8)
    image[60:64, 150:154] = 255
    near = close_up(image, (130.0, 40.0, 40.0, 44.0), 192)
    for view in (quarter_turned(near, turns), tilted(near, 25.0), shrunk(image, 150)):
        rows, columns = np.nonzero(view.pixels[:, :, 0] > 120)
        centre = np.array([[columns.mean() + 0.5, rows.mean() + 0.5]] * 5, np.float32)
        back = view.in_source(Detection((0, 0, 1, 1), centre, 0.9)).landmarks[0]
        np.testing.assert_allclose(back, (152, 62), atol=1.0)


def test_a_close_up_may_extend_beyond_the_picture() -> None:
    """It is black there."""
    view = close_up(np.full((100, 100, 3), 200, np.uint8), (80.0, 80.0, 60.0, 60.0), 64)
    assert (64, 64, 3) == view.pixels.shape
    assert 200 == view.pixels[5, 5, 0]
    assert 0 == view.pixels[60, 60, 0]

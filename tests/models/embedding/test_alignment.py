"""Alignment onto the template."""

from __future__ import annotations

import numpy as np
import pytest

from models.embedding.alignment import CROP_SIZE, TEMPLATE, align, similarity_to_template


@pytest.mark.parametrize("angle", [0.0, 30.0, -75.0, 180.0])
def test_a_similar_face_lands_on_the_template_exactly(angle: float) -> None:
    """Any rotation, scale and shift of the template is undone."""
    turn = np.exp(1j * np.radians(angle)) * 2.5
    moved = (TEMPLATE[:, 0] + 1j * TEMPLATE[:, 1]) * turn + (300 - 40j)
    landmarks = np.stack([moved.real, moved.imag], axis=1)
    matrix = similarity_to_template(landmarks)
    mapped = landmarks @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(mapped, TEMPLATE, atol=1e-9)


def test_no_other_similarity_is_closer() -> None:
    """For a face with other proportions, the squared distance is minimal."""
    landmarks = TEMPLATE * [1.3, 0.9] + np.array([[3, 1], [-4, 2], [5, 0], [1, -6], [2, 2]])
    matrix = similarity_to_template(landmarks)

    def distance(a: float, b: float, x: float, y: float) -> float:
        mapped = landmarks @ np.array([[a, b], [-b, a]]) + [x, y]
        return float(((mapped - TEMPLATE) ** 2).sum())

    best = (matrix[0, 0], matrix[1, 0], matrix[0, 2], matrix[1, 2])
    least = distance(*best)
    for position, step in [(0, 1e-3), (1, 1e-3), (2, 0.1), (3, 0.1)]:
        for sign in (-1, 1):
            nudged = list(best)
            nudged[position] += sign * step
            assert distance(*nudged) > least


def test_landmarks_on_one_point_are_refused() -> None:
    """They define no rotation and no scale."""
    with pytest.raises(ValueError, match="do not span a face"):
        similarity_to_template(np.full((5, 2), 7.0))


def test_the_crop_shows_the_landmarks_at_the_template() -> None:
    """With sub-pixel accuracy: the centre of a bright spot on a landmark is preserved."""
    image = np.zeros((400, 400, 3), np.uint8)
    landmarks = TEMPLATE * 2.0 + 60.0
    x, y = np.rint(landmarks[2]).astype(int)
    image[y - 6 : y + 7, x - 6 : x + 7] = 255
    crop = align(image, landmarks)
    assert (CROP_SIZE, CROP_SIZE, 3) == crop.shape
    rows, columns = np.nonzero(crop[:, :, 0] > 127)
    expected = (np.array([x, y]) - 60.0) / 2.0
    np.testing.assert_allclose([columns.mean(), rows.mean()], expected, atol=0.3)

"""Measures of a crop, compared with plain numpy in float64."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from models.quality.crop_measures import FACE_REGION, HALF_SHARP_RATIO, measure_crop, median


def crop(kind: str) -> NDArray[np.uint8]:
    """(112, 112, 3) uint8 BGR."""
    random = np.random.default_rng(7)
    if kind == "flat":
        return np.full((112, 112, 3), 90, np.uint8)
    if kind == "noise":
        return random.integers(0, 256, (112, 112, 3), dtype=np.uint8)
    if kind == "squares":  # of one pixel: the greatest response of the noise filter
        return np.tile(np.array([[0, 255], [255, 0]], np.uint8), (56, 56))[..., np.newaxis].repeat(
            3, 2
        )
    if kind == "points":  # far apart: the greatest response of the Laplacian, after the blur
        pixels = np.zeros((112, 112, 3), np.uint8)
        pixels[::8, ::8] = 255
        return pixels
    slope = np.linspace(20, 230, 112)[:, np.newaxis, np.newaxis]
    return (slope + random.normal(0, 4, (112, 112, 3))).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("kind", ["flat", "noise", "squares", "points", "slope"])
def test_measures_follow_their_formulas(kind: str) -> None:
    """Mean, deviation, variance of the Laplacian and median of the noise filter."""
    pixels = crop(kind)
    luma = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)[FACE_REGION, FACE_REGION].astype(np.float64)
    smooth = cv2.GaussianBlur(luma.astype(np.uint8), (0, 0), 1.0).astype(np.float64)
    around = np.pad(smooth, 1, mode="reflect")
    laplacian = (
        around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:] - 4 * smooth
    )
    second = luma[:, :-2] - 2 * luma[:, 1:-1] + luma[:, 2:]
    response = second[:-2] - 2 * second[1:-1] + second[2:]
    ratio = laplacian.var() / max(luma.var(), 1.0)

    found = measure_crop(pixels)
    assert found.brightness == pytest.approx(luma.mean() / 255)
    assert found.contrast == pytest.approx(luma.std() / 255, abs=1e-6)
    assert found.sharpness == pytest.approx(ratio / (ratio + HALF_SHARP_RATIO))
    assert found.noise == pytest.approx(float(np.median(np.abs(response))) / 0.6745 / 6)


@pytest.mark.parametrize("values", [[3], [0, 7], [5, 1, 5], [0, 0, 9, 2000], [2, 3, 3, 4, 4]])
def test_median_of_even_and_odd_counts(values: list[int]) -> None:
    """Counting gives the same median as numpy."""
    assert median(np.array(values, np.int16)) == np.median(values)

"""What the pixels of an aligned crop tell: light, sharpness, noise."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

FACE_REGION = slice(16, 96)
"""Rows and columns of the aligned crop that show the face and not what is behind it."""

HALF_SHARP_RATIO = 0.01
"""Laplacian variance by luma variance that counts as half sharp: half of LFW's median."""

_NOISE_KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float64)


@dataclass(frozen=True)
class CropMeasures:
    """sharpness, brightness (mean luma), contrast (spread of luma): 0..1; noise: grey levels."""

    sharpness: float
    brightness: float
    contrast: float
    noise: float


def measure_crop(crop: NDArray[np.uint8]) -> CropMeasures:
    """Of an aligned crop, (112, 112, 3) uint8 BGR."""
    luma = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)[FACE_REGION, FACE_REGION]
    variance = float(luma.var())
    return CropMeasures(
        sharpness=_sharpness(luma, variance),
        brightness=float(luma.mean()) / 255.0,
        contrast=variance**0.5 / 255.0,
        noise=_noise(luma),
    )


def _sharpness(luma: NDArray[np.generic], variance: float) -> float:
    """From 0 (flat) towards 1. Variance of the Laplacian, after a slight blur that takes most of
    the noise out, and relative to the contrast, so that darkness alone changes little."""
    smooth = cv2.GaussianBlur(np.asarray(luma), (0, 0), 1.0)
    edges = float(cv2.Laplacian(smooth, cv2.CV_64F, ksize=1).var())
    ratio = edges / max(variance, 1.0)
    return ratio / (ratio + HALF_SHARP_RATIO)


def _noise(luma: NDArray[np.generic]) -> float:
    """Standard deviation of the noise, grey levels: Immerkaer 1996, with the median in place of
    the mean, which edges do not move."""
    response = cv2.filter2D(luma.astype(np.float64), -1, _NOISE_KERNEL)[1:-1, 1:-1]
    return float(np.median(np.abs(response))) / 0.6745 / 6.0

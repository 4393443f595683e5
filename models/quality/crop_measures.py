"""Measures of the pixels of an aligned crop: light, sharpness, noise."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

FACE_REGION = slice(16, 96)
"""Rows and columns of the aligned crop that show the face rather than the background."""

HALF_SHARP_RATIO = 0.01
"""Ratio of Laplacian variance to luma variance that counts as half sharp: half of LFW's median."""

_NOISE_KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)


@dataclass(frozen=True)
class CropMeasures:
    """sharpness, brightness (mean luma) and contrast (luma deviation): 0..1; noise: grey levels."""

    sharpness: float
    brightness: float
    contrast: float
    noise: float


def measure_crop(crop: NDArray[np.uint8]) -> CropMeasures:
    """Measure an aligned crop, (112, 112, 3) uint8 BGR."""
    luma = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)[FACE_REGION, FACE_REGION]
    mean, variance = _mean_and_variance(luma)
    return CropMeasures(
        sharpness=_sharpness(luma, variance),
        brightness=mean / 255.0,
        contrast=variance**0.5 / 255.0,
        noise=_noise(luma),
    )


def _mean_and_variance(values: cv2.typing.MatLike) -> tuple[float, float]:
    """Compute one channel's mean and variance; numpy takes three times as long on so few values."""
    mean, spread = cv2.meanStdDev(values)
    return float(mean[0, 0]), float(spread[0, 0]) ** 2


def _sharpness(luma: cv2.typing.MatLike, variance: float) -> float:
    """Rate from 0 (flat) towards 1: the variance of the Laplacian, relative to the contrast.

    A slight blur removes most of the noise first. Because it is relative, darkness alone changes
    little.
    """
    smooth = cv2.GaussianBlur(luma, (0, 0), 1.0)
    _, edges = _mean_and_variance(cv2.Laplacian(smooth, cv2.CV_16S, ksize=1))
    ratio = edges / max(variance, 1.0)
    return ratio / (ratio + HALF_SHARP_RATIO)


def _noise(luma: cv2.typing.MatLike) -> float:
    """Estimate the standard deviation of the noise, grey levels.

    Immerkaer 1996, but with the median, which edges do not affect, instead of the mean.
    """
    response = cv2.filter2D(luma, cv2.CV_16S, _NOISE_KERNEL)[1:-1, 1:-1]
    return median(np.abs(response)) / 0.6745 / 6.0


def median(values: NDArray[np.integer]) -> float:
    """Find the median of non-negative integers by counting, in a fifth of partitioning's time."""
    up_to = np.cumsum(np.bincount(values.ravel()))
    middle = [(values.size + 1) // 2, values.size // 2 + 1]
    return float(np.searchsorted(up_to, middle).mean())

"""What the pixels of an aligned crop tell: light, sharpness, noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

FACE_REGION = slice(16, 96)
"""Rows and columns of the aligned crop that show the face and not what is behind it."""

HALF_SHARP_RATIO = 0.01
"""Laplacian variance by luma variance that counts as half sharp: half of LFW's median."""

_NOISE_KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)


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
    mean, variance = _mean_and_variance(luma)
    return CropMeasures(
        sharpness=_sharpness(luma, variance),
        brightness=mean / 255.0,
        contrast=variance**0.5 / 255.0,
        noise=_noise(luma),
    )


def _mean_and_variance(values: cv2.typing.MatLike) -> tuple[float, float]:
    """Of all values of one channel; in C, where numpy takes three times as long on so few."""
    mean, spread = cv2.meanStdDev(values)
    return float(mean[0, 0]), float(spread[0, 0]) ** 2


def _sharpness(luma: cv2.typing.MatLike, variance: float) -> float:
    """From 0 (flat) towards 1. Variance of the Laplacian, after a slight blur that takes most of
    the noise out, and relative to the contrast, so that darkness alone changes little."""
    smooth = cv2.GaussianBlur(luma, (0, 0), 1.0)
    _, edges = _mean_and_variance(cv2.Laplacian(smooth, cv2.CV_16S, ksize=1))
    ratio = edges / max(variance, 1.0)
    return ratio / (ratio + HALF_SHARP_RATIO)


def _noise(luma: cv2.typing.MatLike) -> float:
    """Standard deviation of the noise, grey levels: Immerkaer 1996, with the median in place of
    the mean, which edges do not move."""
    response = cv2.filter2D(luma, cv2.CV_16S, _NOISE_KERNEL)[1:-1, 1:-1]
    return _median(np.abs(response)) / 0.6745 / 6.0


def _median(values: NDArray[np.integer[Any]]) -> float:
    """Of whole numbers from 0 on. By counting: a fifth of the time that partitioning takes."""
    up_to = np.cumsum(np.bincount(values.ravel()))
    middle = [(values.size + 1) // 2, values.size // 2 + 1]
    return float(np.searchsorted(up_to, middle).mean())

"""Degrade pictures as cameras and senders do."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Damage = Callable[[Pixels], Pixels]


def _blur(sigma: float) -> Damage:
    return lambda image: np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)


def _noise(sigma: float) -> Damage:
    def damage(image: Pixels) -> Pixels:
        noise = np.random.default_rng(1).normal(0, sigma, image.shape)
        return np.clip(image + noise, 0, 255).astype(np.uint8)

    return damage


def _jpeg(quality: int) -> Damage:
    def damage(image: Pixels) -> Pixels:
        _, coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)

    return damage


def _dark(factor: float) -> Damage:
    return lambda image: (image * factor).astype(np.uint8)


def _small(factor: float) -> Damage:
    return lambda image: np.asarray(
        cv2.resize(image, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA),
        np.uint8,
    )


DAMAGES: tuple[Damage, ...] = (
    *(_blur(sigma) for sigma in (1.5, 3, 5)),
    *(_noise(sigma) for sigma in (15, 30)),
    *(_jpeg(quality) for quality in (20, 8, 4)),
    *(_dark(factor) for factor in (0.4, 0.2, 0.08)),
    *(_small(factor) for factor in (2.5, 4, 6)),
)


def turned(image: Pixels, degrees: int) -> Pixels:
    """Turn clockwise; the picture grows so that nothing is cut off, right angles are exact."""
    if degrees % 90 == 0:
        return np.ascontiguousarray(np.rot90(image, -degrees // 90))
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -degrees, 1.0)
    across, along = abs(matrix[0, 0]), abs(matrix[0, 1])
    size = (int(height * along + width * across), int(height * across + width * along))
    matrix[:, 2] += ((size[0] - width) / 2, (size[1] - height) / 2)
    return np.asarray(cv2.warpAffine(image, matrix, size), np.uint8)

"""The quality formulas: five scores of one face in 0..1, and the measures they are computed from.

The names come from an older plan whose formulas used source pixels (eye height difference / 100,
nose offset / 50, area / 10,000), so that a larger copy of a picture got other scores. Here every
formula is relative to the face; the plan's reference face was 100 pixels wide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.detection.detector import Detection
from models.quality.crop_measures import CropMeasures, measure_crop
from models.quality.pose import Pose, pose_of, uprightness

FORMULA_VERSION = 2
"""Raise this for a change that gives the same picture other scores than the last release did.

The formulas count, and also how pictures are decoded and searched. Version 2 has not been released
yet. It includes the decoding of large JPEGs at reduced size, whose embeddings have a cosine of
0.985 to 0.996 to those of all pixels."""

FLOOR = 0.1
"""Least frontality, symmetry and resolution, as in the older plan."""

FULL_INTEROCULAR_PX = 60.0
"""Distance between the eyes beyond which more adds next to nothing: shrinking 41 large faces to 60
pixels leaves embeddings with a cosine of 0.977 to the original's, to 25 pixels 0.956, to 12 0.849.
"""

# Quality is the probability that the face matches a good picture of the same person at a false
# accept rate of 1e-4: a logistic regression with non-negative weights on 2 x 740 pictures of LFW
# (200 original, 540 blurred, noisy, compressed, dark or small), embedded by SFace and fr_feature.
# Fitted in November 2026. Predicted and observed in six classes from worst to best: .09/.15,
# .47/.53, .77/.80, .92/.90, .97/.98, .99/.99 (SFace). The fit gave exposure and noise no weight
# beside the norm, and the data has no poses: these three weights are small, for ordering only.
RECOGNISABILITY_WEIGHT, SHARPNESS_WEIGHT = 8.4, 3.4
RESOLUTION_WEIGHT, DETECTION_WEIGHT = 1.0, 3.6
EXPOSURE_WEIGHT, NOISE_WEIGHT, FRONTALITY_WEIGHT = 0.5, 0.5, 1.0
INTERCEPT = -9.1

UNMEASURED_RECOGNISABILITY = 0.8
"""Used for an embedder without ``norm_range``: LFW's median of the other embedders."""


@dataclass(frozen=True)
class Measures:
    """The scores of one face, and the measures behind them.

    Scores, from 0 (worst) to 1 (best):

    quality: the probability that an embedder recognises this face.
    frontality: how directly it faces the camera, upright.
    symmetry: how close the nose is to the line between eyes and mouth.
    resolution: whether it has enough pixels.
    confidence: how certain it is that this is a face, and one that can be compared.

    Measures:

    yaw: degrees, positive towards the right edge of the picture; accurate to about 4.
    pitch: degrees, positive upwards; coarse, because five landmarks contain little about it.
    roll: degrees, positive clockwise.
    interocular_px: distance between the eyes, source pixels.
    sharpness: 0..1. brightness, contrast: 0..1, mean and standard deviation of the face's luma.
    exposure: 0..1, from brightness and contrast.
    noise: standard deviation, grey levels.
    embedding_norm: length of the embedding before normalisation; each embedder has its own scale.
    recognisability: 0..1, the norm on a scale common to all embedders; None for an embedder
        without ``norm_range``.
    learned_quality: output of a separate quality model on its own scale, higher is better; None
        without such a model. No other score depends on it.
    """

    quality: float
    frontality: float
    symmetry: float
    resolution: float
    confidence: float
    yaw: float
    pitch: float
    roll: float
    interocular_px: float
    sharpness: float
    brightness: float
    contrast: float
    exposure: float
    noise: float
    embedding_norm: float
    recognisability: float | None
    learned_quality: float | None = None


def measure(
    detection: Detection,
    crop: NDArray[np.uint8],
    embedding_norm: float,
    norm_range: tuple[float, float] | None,
) -> Measures:
    """Compute all scores and measures of one face.

    ``crop``: its aligned crop, (112, 112, 3) uint8 BGR. ``norm_range``: the embedder's norms of a
    useless and of a perfect crop (``manifest.toml``), if known.
    """
    pose, pixels = pose_of(detection.landmarks), measure_crop(crop)
    width = detection.bounding_box[2]
    frontality = _floored(uprightness(pose, width) * math.cos(math.radians(pose.yaw)))
    resolution = _floored(pose.interocular_px / FULL_INTEROCULAR_PX)
    exposure = _exposure(pixels)
    recognisable = recognisability(embedding_norm, norm_range)
    quality = _quality(
        recognisable=UNMEASURED_RECOGNISABILITY if recognisable is None else recognisable,
        detection_confidence=detection.detection_confidence,
        pixels=pixels,
        exposure=exposure,
        pose=pose,
        frontality=frontality,
    )
    return Measures(
        quality=quality,
        frontality=frontality,
        symmetry=_floored(1.0 - 2.0 * pose.nose_offset_px / width),
        resolution=resolution,
        confidence=_clipped(detection.detection_confidence * quality),
        yaw=pose.yaw,
        pitch=pose.pitch,
        roll=pose.roll,
        interocular_px=pose.interocular_px,
        sharpness=pixels.sharpness,
        brightness=pixels.brightness,
        contrast=pixels.contrast,
        exposure=exposure,
        noise=pixels.noise,
        embedding_norm=embedding_norm,
        recognisability=recognisable,
    )


def recognisability(embedding_norm: float, norm_range: tuple[float, float] | None) -> float | None:
    """Scale the norm of the raw embedding to 0..1: how much of a face the embedder saw."""
    if norm_range is None:
        return None
    least, most = norm_range
    return _clipped((embedding_norm - least) / (most - least))


def _quality(
    *,
    recognisable: float,
    detection_confidence: float,
    pixels: CropMeasures,
    exposure: float,
    pose: Pose,
    frontality: float,
) -> float:
    # From 0.6, a doubtful face, to 0.95, the best score of YuNet.
    detected = _clipped((detection_confidence - 0.6) / 0.35)
    sized = _clipped(pose.interocular_px / FULL_INTEROCULAR_PX)
    noiseless = 1.0 / (1.0 + (pixels.noise / 10.0) ** 2)
    logit = (
        INTERCEPT
        + RECOGNISABILITY_WEIGHT * recognisable
        + SHARPNESS_WEIGHT * pixels.sharpness
        + RESOLUTION_WEIGHT * sized
        + DETECTION_WEIGHT * detected
        # Deductions from the best value, so that they do not shift the fitted part.
        - EXPOSURE_WEIGHT * (1.0 - exposure)
        - NOISE_WEIGHT * (1.0 - noiseless)
        - FRONTALITY_WEIGHT * (1.0 - frontality)
    )
    return 1.0 / (1.0 + math.exp(-logit))


def _exposure(pixels: CropMeasures) -> float:
    """Return 1 in ordinary light; less when the face is dark, overexposed, or lacks contrast."""
    light = min(1.0, pixels.brightness / 0.25) * min(1.0, (1.0 - pixels.brightness) / 0.15)
    return _clipped(light * min(1.0, pixels.contrast / 0.1))


def _clipped(value: float) -> float:
    return min(1.0, max(0.0, value))


def _floored(value: float) -> float:
    return min(1.0, max(FLOOR, value))

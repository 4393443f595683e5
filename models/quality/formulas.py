"""How good one face is for recognition: five scores in 0..1 and the parts they are made of.

The names come from an older plan whose formulas counted pixels of the source picture (eye height
difference / 100, nose offset / 50, area / 10,000), so that a larger copy of a picture scored
otherwise. Here each is relative to the face itself; the plan's reference face was 100 pixels wide.
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
"""Raise this with every change that changes a score of the same picture beyond what was released.

Formulas count, and how pixels are decoded and searched for them. Version 2 has not been released
yet: decoding large JPEGs at a part of their size (embeddings with a cosine of 0.985 to 0.996 to
those of all pixels) came after its formulas and is part of it."""

FLOOR = 0.1
"""Frontality, symmetry and resolution never go below it, as in the older plan."""

FULL_INTEROCULAR_PX = 60.0
"""More distance between the eyes adds next to nothing: shrinking 41 large faces to 60 pixels
leaves an embedding with a cosine of 0.977 to the original's, to 25 pixels 0.956, to 12 0.849."""

# Quality is the chance that the face matches a good picture of the same person at a false accept
# rate of 1e-4: a logistic regression on 2 x 740 pictures of LFW (200 as they are, 540 blurred,
# noisy, compressed, dark or small), embedded by SFace and by fr_feature, weights not negative.
# Fitted in November 2026. Predicted and found in six classes from the worst to the best: .09/.15,
# .47/.53, .77/.80, .92/.90, .97/.98, .99/.99 (SFace). The data gave exposure and noise no weight
# of their own beside the norm, and held no poses: these three are set small, for order.
RECOGNISABILITY_WEIGHT, SHARPNESS_WEIGHT = 8.4, 3.4
RESOLUTION_WEIGHT, DETECTION_WEIGHT = 1.0, 3.6
EXPOSURE_WEIGHT, NOISE_WEIGHT, FRONTALITY_WEIGHT = 0.5, 0.5, 1.0
INTERCEPT = -9.1

UNMEASURED_RECOGNISABILITY = 0.8
"""For an embedder whose norms nobody has measured: LFW's median of the others."""


@dataclass(frozen=True)
class Measures:
    """Scores in 0..1, 1 is best:

    quality: how likely an embedder recognises this face.
    frontality: how far it looks into the camera and stands upright.
    symmetry: how near the nose is to the line between eyes and mouth.
    resolution: whether it has enough pixels.
    confidence: how sure we are that it is a face, and one that can be compared.

    Their parts:

    yaw: degrees, positive when the face turns to the right edge of the picture; about 4 off.
    pitch: degrees, positive when it looks up; coarse, five landmarks do not say much.
    roll: degrees, positive when it is turned clockwise.
    interocular_px: distance between the eyes, source pixels.
    sharpness: 0..1. brightness, contrast: 0..1, mean and spread of the face's luma.
    exposure: 0..1, from these two.
    noise: grey levels, standard deviation.
    embedding_norm: length of the embedding before it was normalised; its scale is the embedder's.
    recognisability: 0..1, the same on a scale that all embedders share; None where the embedder's
        norms are not known.
    learned_quality: what a model made for it says, on its own scale, higher is better; None where
        none is chosen. It goes into no other figure.
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
    """All measures of one face.

    `crop`: its aligned crop, (112, 112, 3) uint8 BGR. `norm_range`: the norms that the embedder
    gives to what is no face and to a perfect one (manifest.toml), where they are known.
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
    """How much of a face the embedder saw, 0..1, from the length of its raw embedding."""
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
    # From .6, a doubtful face, to .95, the best that YuNet gives.
    detected = _clipped((detection_confidence - 0.6) / 0.35)
    sized = _clipped(pose.interocular_px / FULL_INTEROCULAR_PX)
    noiseless = 1.0 / (1.0 + (pixels.noise / 10.0) ** 2)
    logit = (
        INTERCEPT
        + RECOGNISABILITY_WEIGHT * recognisable
        + SHARPNESS_WEIGHT * pixels.sharpness
        + RESOLUTION_WEIGHT * sized
        + DETECTION_WEIGHT * detected
        # Differences from the best: pictures as the fit knew them stay where it put them.
        - EXPOSURE_WEIGHT * (1.0 - exposure)
        - NOISE_WEIGHT * (1.0 - noiseless)
        - FRONTALITY_WEIGHT * (1.0 - frontality)
    )
    return 1.0 / (1.0 + math.exp(-logit))


def _exposure(pixels: CropMeasures) -> float:
    """1 in ordinary light; falls when the face is dark, burnt out, or without contrast."""
    light = min(1.0, pixels.brightness / 0.25) * min(1.0, (1.0 - pixels.brightness) / 0.15)
    return _clipped(light * min(1.0, pixels.contrast / 0.1))


def _clipped(value: float) -> float:
    return min(1.0, max(0.0, value))


def _floored(value: float) -> float:
    return min(1.0, max(FLOOR, value))

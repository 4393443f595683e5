"""How good one face is for recognition: five scores in 0..1 and the parts they are made of.

The names come from an older plan whose formulas counted pixels of the source picture (eye height
difference / 100, nose offset / 50, area / 10,000), so that a larger copy of a picture scored
otherwise. Here each is relative to the face itself; the plan's reference face was 100 pixels wide.
Constants were measured in November 2026 on the pictures of 1,200 LFW pairs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.detection import Detection

FORMULA_VERSION = 1
"""Raise this with every change that changes a score of the same picture."""

FLOOR = 0.1
"""Frontality, symmetry and resolution never go below it, as in the older plan."""

FULL_INTEROCULAR_PX = 60.0
"""More distance between the eyes adds next to nothing: shrinking 41 large faces to 60 pixels
leaves an embedding with a cosine of 0.977 to the original's, to 25 pixels 0.956, to 12 0.849."""

HALF_SHARP_VARIANCE = 150.0
"""Variance of the Laplacian that counts as half sharp: LFW's median is 151."""

SHARPNESS_REGION = slice(16, 96)
"""Rows and columns of the aligned crop that show the face and not what is behind it."""

# A generic face in centimetres, from the eye line: MediaPipe's canonical face model (vertices of
# the eye corners, the nose tip and the mouth corners).
EYE_DISTANCE = 6.3
NOSE_DOWN, NOSE_FORWARD = 3.75, 3.9
MOUTH_DOWN, MOUTH_FORWARD = 6.96, 0.7

# Shares in the weighted geometric mean. Discarding the worst 20 % of 600 genuine LFW pairs cuts
# the misses at a false accept rate of 1e-5 from 6.5 % to 1.5 % by the embedding's norm alone, to
# 1.9 % by these shares, but only to 5.4 % by the detection score, 6.0 % by eye distance and not at
# all by sharpness. The latter two are here because LFW has no tiny and few blurred faces.
NORM_SHARE, SHARPNESS_SHARE, RESOLUTION_SHARE = 0.8, 0.1, 0.1


@dataclass(frozen=True)
class Measures:
    """Scores in 0..1, 1 is best:

    quality: how well an embedder can recognise this face.
    frontality: how far it looks into the camera and stands upright.
    symmetry: how near the nose is to the line between eyes and mouth.
    resolution: whether it has enough pixels.
    confidence: how sure detector and embedder are that it is a face at all.

    Their parts:

    yaw: degrees, positive when the face turns to the right edge of the picture; about 4 off.
    pitch: degrees, positive when it looks up; coarse, five landmarks do not say much.
    roll: degrees, positive when it is turned clockwise.
    interocular_px: distance between the eyes, source pixels.
    sharpness: 0..1. brightness: 0..1, mean luma of the face.
    embedding_norm: length of the embedding before it was normalised; its scale is the embedder's.
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
    embedding_norm: float


def recognisability(embedding_norm: float, norm_range: tuple[float, float]) -> float:
    """How much of a face the embedder saw, 0..1, from the length of its raw embedding."""
    return _clipped((embedding_norm - norm_range[0]) / (norm_range[1] - norm_range[0]))


@dataclass(frozen=True)
class _Pose:
    yaw: float
    pitch: float
    roll: float
    interocular_px: float
    nose_offset_px: float


def measure(
    detection: Detection,
    crop: NDArray[np.uint8],
    embedding_norm: float,
    norm_range: tuple[float, float],
) -> Measures:
    """All measures of one face.

    `crop`: its aligned crop, (112, 112, 3) uint8 BGR. `norm_range`: the norms that the embedder
    gives to what is no face and to a perfect one (manifest.toml).
    """
    pose = _pose(detection.landmarks)
    luma = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)[SHARPNESS_REGION, SHARPNESS_REGION]
    sharpness, brightness = _sharpness(luma), float(luma.mean()) / 255.0
    resolution = _floored(pose.interocular_px / FULL_INTEROCULAR_PX)
    recognisable = recognisability(embedding_norm, norm_range)
    return Measures(
        quality=recognisable**NORM_SHARE
        * sharpness**SHARPNESS_SHARE
        * resolution**RESOLUTION_SHARE,
        frontality=_frontality(pose, detection.bounding_box[2]),
        symmetry=_floored(1.0 - 2.0 * pose.nose_offset_px / detection.bounding_box[2]),
        resolution=resolution,
        confidence=_clipped(math.sqrt(detection.detection_confidence * recognisable)),
        yaw=pose.yaw,
        pitch=pose.pitch,
        roll=pose.roll,
        interocular_px=pose.interocular_px,
        sharpness=sharpness,
        brightness=brightness,
        embedding_norm=embedding_norm,
    )


def _pose(landmarks: NDArray[np.float32]) -> _Pose:
    """Angles of the generic face, seen from far away, that puts the nose where it is.

    With x and y from the middle of the eyes along and across the eye line (which takes the roll
    out): nose x / eye distance = forward * sin(yaw) / (eye distance * cos(yaw)), and likewise
    for the pitch from the height of the nose between eyes and mouth.
    """
    points = landmarks[:, 0].astype(np.float64) + 1j * landmarks[:, 1].astype(np.float64)
    eyes = points[1] - points[0]
    # Eyes on one point (a full profile) would divide by zero.
    distance = max(abs(eyes), 1e-3)
    level = (points - (points[0] + points[1]) / 2) * np.conj(eyes) / distance
    nose, mouth = level[2], (level[3] + level[4]) / 2
    yaw = math.atan2(nose.real * EYE_DISTANCE, distance * NOSE_FORWARD)
    height = nose.imag / max(mouth.imag, 1e-3)
    down = math.atan2(height * MOUTH_DOWN - NOSE_DOWN, NOSE_FORWARD - height * MOUTH_FORWARD)
    return _Pose(
        yaw=math.degrees(yaw),
        pitch=-math.degrees(down),
        roll=math.degrees(math.atan2(eyes.imag, eyes.real)),
        interocular_px=float(abs(eyes)),
        nose_offset_px=float(abs(nose.real) + abs(nose.real - mouth.real)) / 2,
    )


def _frontality(pose: _Pose, face_width: float) -> float:
    """The older plan's eye height difference, relative to the face's width, times cos(yaw).

    The plan had no yaw, so that a level profile counted as frontal. Pitch is too coarse to count.
    """
    eye_height_difference = abs(pose.interocular_px * math.sin(math.radians(pose.roll)))
    upright = 1.0 - min(1.0, eye_height_difference / face_width)
    return _floored(upright * math.cos(math.radians(pose.yaw)))


def _sharpness(luma: NDArray[np.integer[Any] | np.floating[Any]]) -> float:
    """Variance of the Laplacian, from 0 (flat) towards 1; it rises with noise as well."""
    variance = float(cv2.Laplacian(luma, cv2.CV_64F, ksize=1).var())
    return variance / (variance + HALF_SHARP_VARIANCE)


def _clipped(value: float) -> float:
    return min(1.0, max(0.0, value))


def _floored(value: float) -> float:
    return min(1.0, max(FLOOR, value))

"""Head pose from five landmarks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# A generic face in centimetres, relative to the eye line: MediaPipe's canonical face model
# (vertices of the eye corners, the nose tip and the mouth corners).
EYE_DISTANCE = 6.3
NOSE_DOWN, NOSE_FORWARD = 3.75, 3.9
MOUTH_DOWN, MOUTH_FORWARD = 6.96, 0.7


@dataclass(frozen=True)
class Pose:
    """Angles in degrees, signs as in ``Measures``; lengths in source pixels.

    nose_offset_px: distance of the nose from the middle line between eyes and mouth.
    """

    yaw: float
    pitch: float
    roll: float
    interocular_px: float
    nose_offset_px: float


def pose_of(landmarks: NDArray[np.float32]) -> Pose:
    """Find the pose in which a generic face, seen from afar, has its nose where this one has.

    ``landmarks``: (5, 2) float32, source pixels. With x along and y across the eye line from the
    middle of the eyes, which removes the roll: nose x / eye distance = forward * sin(yaw) / (eye
    distance * cos(yaw)); the pitch follows likewise from the height of the nose between eyes and
    mouth.
    """
    points = landmarks[:, 0].astype(np.float64) + 1j * landmarks[:, 1].astype(np.float64)
    eyes = points[1] - points[0]
    # With both eyes on one point (a full profile) this would divide by zero.
    distance = max(abs(eyes), 1e-3)
    level = (points - (points[0] + points[1]) / 2) * np.conj(eyes) / distance
    nose, mouth = level[2], (level[3] + level[4]) / 2
    yaw = math.atan2(nose.real * EYE_DISTANCE, distance * NOSE_FORWARD)
    height = nose.imag / max(mouth.imag, 1e-3)
    down = math.atan2(height * MOUTH_DOWN - NOSE_DOWN, NOSE_FORWARD - height * MOUTH_FORWARD)
    return Pose(
        yaw=math.degrees(yaw),
        pitch=-math.degrees(down),
        roll=math.degrees(math.atan2(eyes.imag, eyes.real)),
        interocular_px=float(abs(eyes)),
        nose_offset_px=float(abs(nose.real) + abs(nose.real - mouth.real)) / 2,
    )


def uprightness(pose: Pose, face_width: float) -> float:
    """Return 1 minus the difference in eye height, relative to the face's width.

    The formula is that of the older plan. Beyond a right angle the difference would shrink again,
    so an upside-down face counts as sideways.
    """
    steepest = min(90.0, abs(pose.roll))
    eye_height_difference = pose.interocular_px * math.sin(math.radians(steepest))
    return 1.0 - min(1.0, eye_height_difference / face_width)

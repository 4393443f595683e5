"""The quality formulas, on projected landmarks and on damaged portraits."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from itertools import pairwise

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from models.detection.detector import Detection
from models.errors import LowConfidence, NoFaceFound
from models.pipeline import FacePipeline
from models.quality.formulas import FLOOR, Measures, measure
from models.quality.pose import EYE_DISTANCE, MOUTH_DOWN, MOUTH_FORWARD, NOSE_DOWN, NOSE_FORWARD
from tests.models.conftest import Edit, edited, encoded

NORM_RANGE = (5.5, 14.0)
GREY = np.full((112, 112, 3), 100, np.uint8)


def projected(yaw: float = 0, pitch: float = 0, roll: float = 0) -> NDArray[np.float64]:
    """The landmarks (5, 2) of the generic face, rotated by degrees and seen from far away."""
    half, mouth = EYE_DISTANCE / 2, 2.45
    face = np.array(
        [
            [-half, 0, 0],
            [half, 0, 0],
            [0, NOSE_DOWN, NOSE_FORWARD],
            [-mouth, MOUTH_DOWN, MOUTH_FORWARD],
            [mouth, MOUTH_DOWN, MOUTH_FORWARD],
        ]
    )
    y, p, r = np.radians([yaw, -pitch, roll])
    nod = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    shake = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    tilt = np.array([[np.cos(r), -np.sin(r)], [np.sin(r), np.cos(r)]])
    return np.asarray((face @ nod.T @ shake.T)[:, :2] @ tilt.T)


def measured(landmarks: NDArray[np.float64], norm: float = 12.0, scale: float = 10) -> Measures:
    points = (landmarks * scale + 200).astype(np.float32)
    detection = Detection((0.0, 0.0, 13.5 * scale, 18.0 * scale), points, 0.93)
    return measure(detection, GREY, norm, NORM_RANGE)


@pytest.mark.parametrize("angle", [-50, -20, 0, 20, 50])
def test_pose_angles_are_recovered(angle: float) -> None:
    """In degrees; positive means right edge, up, clockwise."""
    assert measured(projected(yaw=angle)).yaw == pytest.approx(angle, abs=0.1)
    assert measured(projected(pitch=angle)).pitch == pytest.approx(angle, abs=0.1)
    assert measured(projected(roll=angle)).roll == pytest.approx(angle, abs=0.1)
    assert measured(projected(yaw=angle, roll=30)).yaw == pytest.approx(angle, abs=0.1)


def test_frontality_falls_with_yaw_and_with_roll() -> None:
    """1 for a face that looks straight into the camera, never less than ``FLOOR``."""
    assert measured(projected()).frontality == pytest.approx(1.0, abs=1e-4)
    for turned in ("yaw", "roll"):
        scores = [measured(projected(**{turned: angle})).frontality for angle in range(0, 85, 12)]
        assert all(later < earlier for earlier, later in pairwise(scores))
    assert FLOOR == measured(projected(yaw=89.9)).frontality


def test_symmetry_falls_with_the_offset_of_the_nose() -> None:
    """Roll alone does not change it."""
    straight = projected()
    assert measured(straight).symmetry == pytest.approx(1.0, abs=1e-4)
    assert measured(projected(roll=40)).symmetry == pytest.approx(1.0, abs=1e-4)
    scores = []
    for offset in (0.0, 1.0, 2.0, 4.0):
        crooked = straight.copy()
        crooked[2, 0] += offset
        scores.append(measured(crooked).symmetry)
    assert all(later < earlier for earlier, later in pairwise(scores))
    crooked[2, 0] += 100
    assert FLOOR == measured(crooked).symmetry


def test_a_larger_copy_changes_only_the_resolution() -> None:
    """The other scores are relative to the face, unlike the older plan's."""
    small, large = measured(projected(20, 5, 10), scale=4), measured(projected(20, 5, 10), scale=8)
    assert small.frontality == pytest.approx(large.frontality, abs=1e-5)
    assert small.symmetry == pytest.approx(large.symmetry, abs=1e-5)
    assert large.interocular_px == pytest.approx(2 * small.interocular_px, rel=1e-5)
    assert large.resolution == pytest.approx(2 * small.resolution, rel=1e-5)
    assert 1.0 == measured(projected(), scale=40).resolution
    assert FLOOR == measured(projected(), scale=0.1).resolution


@pytest.mark.parametrize("norm", [0.0, 5.5, 9.0, 14.0, 60.0])
def test_scores_stay_between_0_and_1(norm: float) -> None:
    """For any embedding norm."""
    scores = measured(projected(10, 10, 10), norm=norm)
    for score in (scores.quality, scores.confidence, scores.sharpness, scores.brightness):
        assert 0.0 <= score <= 1.0


def test_eyes_on_one_point_are_allowed() -> None:
    """As in a full profile, or from a wrong detection."""
    landmarks = projected()
    landmarks[1] = landmarks[0]
    scores = measured(landmarks)
    assert 0.0 == scores.interocular_px
    assert FLOOR <= scores.frontality <= 1.0


def score(pipeline: FacePipeline, picture: bytes) -> Measures:
    return pipeline.score(picture, min_confidence=0.3, max_faces=1).faces[0].measures


def blurred(level: float) -> Edit:
    return lambda p: p.filter(ImageFilter.GaussianBlur(1 + 10 * level))


def noisy(level: float) -> Edit:
    def edit(picture: Image.Image) -> Image.Image:
        # At a size where single pixels matter to a face.
        pixels = np.asarray(picture.reduce(3), np.float64)
        noise = np.random.default_rng(7).normal(0.0, 10 + 70 * level, pixels.shape)
        return Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))

    return edit


def compressed(level: float) -> Edit:
    def edit(picture: Image.Image) -> Image.Image:
        small = picture.reduce(3)
        return Image.open(BytesIO(encoded(small, "JPEG", quality=round(30 - 28 * level))))

    return edit


def darkened(level: float) -> Edit:
    return lambda p: p.point(lambda value: value * (0.5 - 0.48 * level))


def shrunk(level: float) -> Edit:
    def edit(picture: Image.Image) -> Image.Image:
        factor = 3 + 9 * level
        return picture.resize((round(picture.width / factor), round(picture.height / factor)))

    return edit


DAMAGES: dict[Callable[[float], Edit], float] = {
    blurred: 0.02,
    darkened: 0.02,
    noisy: 0.03,
    compressed: 0.1,
    shrunk: 0.1,
}
"""By how much quality may rise despite more damage: fewer pixels or other JPEG blocks change the
embedding's norm by a few percent, which matters where the curve is steep."""


def quality_after(pipeline: FacePipeline, picture: bytes, edit: Edit) -> float:
    """The quality after an edit; 0 when no face is found any more."""
    try:
        return score(pipeline, edited(picture, edit)).quality
    except (NoFaceFound, LowConfidence):
        return 0.0


PORTRAIT = pytest.mark.parametrize("portrait", ["hopper", "collins"])
PROPERTY = settings(
    max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


@pytest.mark.parametrize("damage", DAMAGES)
@PORTRAIT
@PROPERTY
@given(level=st.floats(0.0, 0.7), more=st.floats(0.25, 0.3))
def test_quality_falls_with_damage(  # noqa: PLR0917  hypothesis and pytest pass them by name
    pipeline: FacePipeline,
    portrait: str,
    request: pytest.FixtureRequest,
    damage: Callable[[float], Edit],
    level: float,
    more: float,
) -> None:
    """More blur, noise, JPEG compression, darkness or fewer pixels never improve it."""
    picture: bytes = request.getfixturevalue(portrait)
    before = quality_after(pipeline, picture, damage(level))
    after = quality_after(pipeline, picture, damage(level + more))
    assert after <= before + DAMAGES[damage]


@PORTRAIT
@PROPERTY
@given(angle=st.floats(0, 130), more=st.floats(45, 50))
def test_rotation_costs_frontality_and_never_helps_quality(
    pipeline: FacePipeline,
    portrait: str,
    request: pytest.FixtureRequest,
    angle: float,
    more: float,
) -> None:
    """A face rotated further is less frontal.

    It is rotated upright before it is embedded, so quality falls only a little, and never exceeds
    that of the upright picture.
    """
    picture: bytes = request.getfixturevalue(portrait)

    def rotated(degrees: float) -> Measures:
        edit: Edit = lambda p: p.rotate(degrees, Image.Resampling.BICUBIC, expand=True)  # noqa: E731
        return score(pipeline, edited(picture, edit))

    upright, before, after = rotated(0), rotated(angle), rotated(angle + more)
    assert after.frontality <= before.frontality + 0.1
    for one in (before, after):
        assert 0.85 < one.quality <= upright.quality + 0.01


@pytest.mark.parametrize("damage", DAMAGES)
def test_much_damage_makes_quality_low(
    pipeline: FacePipeline, hopper: bytes, damage: Callable[[float], Edit]
) -> None:
    """The scale separates a good picture from a useless one."""
    assert quality_after(pipeline, hopper, lambda p: p) > 0.9
    assert quality_after(pipeline, hopper, damage(1.0)) < 0.5


def test_each_measure_reacts_to_its_kind_of_damage(pipeline: FacePipeline, hopper: bytes) -> None:
    """Sharpness to blur, noise to noise, exposure to darkness, resolution to size."""
    good = score(pipeline, hopper)
    assert score(pipeline, edited(hopper, blurred(0.5))).sharpness < 0.5 * good.sharpness
    clean = score(pipeline, edited(hopper, lambda p: p.reduce(3)))
    assert score(pipeline, edited(hopper, noisy(0.2))).noise > 2 * clean.noise
    assert score(pipeline, edited(hopper, darkened(0.9))).exposure < 0.5 * good.exposure
    assert score(pipeline, edited(hopper, shrunk(0.2))).resolution < good.resolution
    blind = score(pipeline, edited(hopper, blurred(0.9)))
    assert blind.recognisability is not None
    assert good.recognisability is not None
    assert blind.recognisability < 0.5 * good.recognisability


def test_brightness_is_linear(pipeline: FacePipeline, hopper: bytes) -> None:
    """Half the light gives half the brightness."""
    light = score(pipeline, hopper).brightness
    dark = score(pipeline, edited(hopper, lambda p: p.point(lambda v: v // 2))).brightness
    assert dark == pytest.approx(light / 2, abs=0.02)


def test_yaw_changes_sign_in_a_mirror(pipeline: FacePipeline, hopper: bytes) -> None:
    """A mirrored face looks the other way and is equally frontal."""
    straight = score(pipeline, hopper)
    mirror: Edit = lambda p: p.transpose(Image.Transpose.FLIP_LEFT_RIGHT)  # noqa: E731
    mirrored = score(pipeline, edited(hopper, mirror))
    assert mirrored.yaw == pytest.approx(-straight.yaw, abs=2.5)
    assert mirrored.frontality == pytest.approx(straight.frontality, abs=0.05)


def test_the_generic_face_fits_real_ones(
    pipeline: FacePipeline, hopper: bytes, collins: bytes
) -> None:
    """Two portraits that look into the camera have small angles and high scores."""
    for picture in (hopper, collins):
        scores = score(pipeline, picture)
        assert max(abs(scores.yaw), abs(scores.pitch), abs(scores.roll)) < 6
        assert min(scores.frontality, scores.symmetry, scores.confidence, scores.quality) > 0.75

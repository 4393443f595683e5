"""Faces in any rotation and size, with a bounded number of detector runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.detection.detector import Detection, FaceDetector
from models.detection.face_search import (
    MAX_DOUBTFUL,
    MAX_RUNS_PER_PICTURE,
    MAX_STRAIGHTENED,
    FaceSearch,
)
from models.detection.rotated_faces import MAX_RUNS_PER_FACE
from models.embedding.alignment import align
from models.errors import LowConfidence, NoFaceFound
from models.manifest import ModelDescription
from models.pictures.decoding import DecodeLimits, decode
from models.pipeline import Face, FacePipeline
from models.session import Cancellation
from tests.models.conftest import edited, encoded

Pixels = NDArray[np.uint8]
PORTRAITS = ["hopper", "collins"]


@dataclass
class CountingDetector:
    """A real detector that records the size of each run."""

    inner: FaceDetector
    runs: list[int] = field(default_factory=list)

    @property
    def description(self) -> ModelDescription:
        return self.inner.description

    @property
    def sizes(self) -> tuple[int, ...]:
        return self.inner.sizes

    def detect(
        self, image: Pixels, *, longest_side: int, floor: float, cancellation: Cancellation
    ) -> Sequence[Detection]:
        self.runs.append(longest_side)
        return self.inner.detect(
            image, longest_side=longest_side, floor=floor, cancellation=cancellation
        )


@pytest.fixture
def detector(pipeline: FacePipeline) -> CountingDetector:
    return CountingDetector(pipeline.face_detector)


def search(detector: CountingDetector, image: Pixels, max_faces: int = 1) -> tuple[Detection, ...]:
    return FaceSearch(detector).faces(
        image, min_confidence=0.7, max_faces=max_faces, cancellation=Cancellation()
    )


def one_face(pipeline: FacePipeline, picture: bytes) -> Face:
    return pipeline.score(picture, min_confidence=0.7, max_faces=1).faces[0]


@pytest.mark.parametrize("portrait", PORTRAITS)
@pytest.mark.parametrize(("angle", "least"), [(90, 0.9), (180, 0.9), (270, 0.9), (45, 0.8)])
def test_a_rotated_face_is_found_and_straightened(
    pipeline: FacePipeline,
    portrait: str,
    request: pytest.FixtureRequest,
    angle: int,
    least: float,
) -> None:
    """The embedding is that of the upright picture; the roll is the rotation."""
    picture: bytes = request.getfixturevalue(portrait)
    upright = one_face(pipeline, picture)
    turned = one_face(
        pipeline, edited(picture, lambda p: p.rotate(-angle, Image.Resampling.BICUBIC, expand=True))
    )
    assert float(turned.embedding @ upright.embedding) > least
    off = (turned.measures.roll - upright.measures.roll - angle + 180) % 360 - 180
    assert abs(off) < 20
    assert turned.detection_confidence > 0.85


@pytest.mark.parametrize("angle", [150, 195, 285])
def test_a_low_minimum_does_not_hide_a_rotated_face(
    pipeline: FacePipeline, collins: bytes, angle: int
) -> None:
    """An upright candidate scores 0.4 there; the face itself is found anyway."""
    turned = edited(collins, lambda p: p.rotate(angle, Image.Resampling.BICUBIC, expand=True))
    (face,) = pipeline.score(turned, min_confidence=0.3, max_faces=1).faces
    assert float(face.embedding @ one_face(pipeline, collins).embedding) > 0.8


def test_the_box_of_an_upside_down_face(pipeline: FacePipeline, hopper: bytes) -> None:
    """It is the upright box, measured from the opposite corner."""
    x, y, width, height = one_face(pipeline, hopper).bounding_box
    turned = one_face(pipeline, edited(hopper, lambda p: p.rotate(180))).bounding_box
    expected = (512 - x - width, 600 - y - height, width, height)
    np.testing.assert_allclose(turned, expected, atol=0.15 * width)


def test_an_upright_face_costs_one_run(detector: CountingDetector, hopper: bytes) -> None:
    """The common picture does not pay for the others."""
    search(detector, decode(hopper, DecodeLimits()))
    assert [320] == detector.runs


def test_runs_are_bounded_without_a_face(detector: CountingDetector) -> None:
    """In noise and in black, in a large frame."""
    noise = np.random.default_rng(2).integers(0, 256, (1500, 2000, 3)).astype(np.uint8)
    for image in (noise, np.zeros((1500, 2000, 3), np.uint8)):
        detector.runs.clear()
        with pytest.raises((NoFaceFound, LowConfidence)):
            search(detector, image)
        most = MAX_RUNS_PER_PICTURE + MAX_DOUBTFUL * MAX_RUNS_PER_FACE
        assert len(detector.runs) <= most


def test_runs_are_bounded_for_a_rotated_face(detector: CountingDetector, hopper: bytes) -> None:
    """After the first run, the sizes are those of close-ups and of the whole picture."""
    upside_down = decode(hopper, DecodeLimits())[::-1, ::-1].copy()
    search(detector, upside_down)
    assert len(detector.runs) <= MAX_RUNS_PER_PICTURE + MAX_RUNS_PER_FACE
    assert set(detector.runs[1:]) <= {192, 320, 600}


@dataclass
class ScriptedDetector(CountingDetector):
    """Finds ``faces`` in the whole picture; close-ups show one only upside down, with a low score.

    ``close_up_score``: that score; None when close-ups show nothing.
    """

    faces: Sequence[Detection] = ()
    close_up_score: float | None = 0.5

    def detect(
        self, image: Pixels, *, longest_side: int, floor: float, cancellation: Cancellation
    ) -> Sequence[Detection]:
        self.runs.append(longest_side)
        if longest_side == 400:
            return self.faces
        if self.close_up_score and longest_side == 192 and 3 == self.runs.count(192):
            return [upright_face(48, 48, 96, self.close_up_score)]
        return []


def upright_face(x: float, y: float, side: float, score: float) -> Detection:
    eyes_nose_mouth = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
    landmarks = (eyes_nose_mouth * side + (x, y)).astype(np.float32)
    return Detection((x, y, side, side), landmarks, score)


@pytest.mark.parametrize(("close_up_score", "best"), [(0.5, "0.500"), (None, "0.000")])
def test_a_face_that_close_ups_reject_is_dropped(
    detector: CountingDetector, close_up_score: float | None, best: str
) -> None:
    """It scores below the minimum there, or is not found: the next face replaces it."""
    large, small = upright_face(100, 100, 80, 0.8), upright_face(300, 100, 40, 0.95)
    scripted = ScriptedDetector(detector.inner, faces=[small, large], close_up_score=close_up_score)
    image = np.zeros((400, 400, 3), np.uint8)
    assert (small,) == search(scripted, image)
    scripted.faces = [large]
    scripted.runs.clear()
    with pytest.raises(LowConfidence, match=rf"{best}.*0\.700"):
        search(scripted, image)


def test_a_face_that_stays_doubtful_comes_last(detector: CountingDetector) -> None:
    """With a low minimum it is returned, after the others, however large it is."""
    large, small = upright_face(100, 100, 80, 0.8), upright_face(300, 100, 40, 0.95)
    image = np.zeros((400, 400, 3), np.uint8)
    for max_faces, expected in ((1, [0.95]), (2, [0.95, 0.5])):
        scripted = ScriptedDetector(detector.inner, faces=[small, large])
        found = FaceSearch(scripted).faces(
            image, min_confidence=0.3, max_faces=max_faces, cancellation=Cancellation()
        )
        assert expected == [face.detection_confidence for face in found]


def test_a_rejected_face_does_not_hide_a_rotated_one(
    detector: CountingDetector,
) -> None:
    """Enough upright candidates were found, but close-ups reject them: rotations follow."""

    @dataclass
    class UpsideDown(ScriptedDetector):
        def detect(
            self, image: Pixels, *, longest_side: int, floor: float, cancellation: Cancellation
        ) -> Sequence[Detection]:
            found = super().detect(
                image, longest_side=longest_side, floor=floor, cancellation=cancellation
            )
            upside_down = longest_side == 400 and 3 == self.runs.count(400)
            return [upright_face(200, 200, 60, 0.95)] if upside_down else found

    scripted = UpsideDown(
        detector.inner, faces=[upright_face(100, 100, 80, 0.8)], close_up_score=None
    )
    (face,) = search(scripted, np.zeros((400, 400, 3), np.uint8))
    assert face.detection_confidence == pytest.approx(0.95)
    assert abs(face.roll) == pytest.approx(180, abs=1)
    assert len(scripted.runs) <= MAX_RUNS_PER_PICTURE + 2 * MAX_RUNS_PER_FACE


def test_runs_are_bounded_in_a_crowd(detector: CountingDetector) -> None:
    """However many faces close-ups reject."""
    crowd = [upright_face(20 + 40 * x, 20 + 40 * y, 20, 0.8) for x in range(9) for y in range(9)]
    scripted = ScriptedDetector(detector.inner, faces=crowd, close_up_score=None)
    found = search(scripted, np.zeros((400, 400, 3), np.uint8), max_faces=1)
    assert 1 == len(found)
    assert len(scripted.runs) <= MAX_RUNS_PER_PICTURE + MAX_STRAIGHTENED * MAX_RUNS_PER_FACE


def test_upright_and_rotated_faces_in_one_picture(
    pipeline: FacePipeline, hopper: bytes, collins: bytes
) -> None:
    """Each is straightened separately."""
    both = Image.new("RGB", (1112, 600), "white")
    both.paste(Image.open(BytesIO(hopper)), (0, 0))
    both.paste(Image.open(BytesIO(collins)).rotate(180), (600, 40))
    picture = encoded(both, "JPEG", quality=95)
    faces = pipeline.score(picture, min_confidence=0.7, max_faces=5).faces
    assert 2 == len(faces)
    standing, lying = sorted(faces, key=lambda face: abs(face.measures.roll))
    assert float(standing.embedding @ one_face(pipeline, hopper).embedding) > 0.9
    assert float(lying.embedding @ one_face(pipeline, collins).embedding) > 0.85


def test_a_small_face_in_a_large_frame(detector: CountingDetector, collins: bytes) -> None:
    """It is too small at 640 pixels, and found at the largest size."""
    frame = Image.new("RGB", (3200, 2400), "grey")
    frame.paste(Image.open(BytesIO(collins)).resize((160, 160)), (2000, 700))
    (face,) = search(detector, np.asarray(frame)[:, :, ::-1].copy())
    x, y, width, height = face.bounding_box
    assert 2000 < x < x + width < 2160
    assert 700 < y < y + height < 860


def test_a_face_that_fills_a_large_frame_is_one_face(
    detector: CountingDetector, hopper: bytes
) -> None:
    """At large sizes its eyes and mouth look like faces; they are parts of the better one."""
    pixels = decode(hopper, DecodeLimits())
    x, y, width, height = (round(v) for v in search(detector, pixels)[0].bounding_box)
    tight = Image.fromarray(pixels[y : y + height, x : x + width])
    large = np.asarray(tight.resize((1600, round(1600 * height / width))))
    assert 1 == len(search(detector, large, max_faces=10))


def test_the_aligned_crop_of_a_rotated_face_is_upright(
    pipeline: FacePipeline, hopper: bytes
) -> None:
    """The order of the landmarks is that of the upright face."""
    pictures = [hopper, edited(hopper, lambda p: p.rotate(180))]
    crops = [
        align(decode(picture, DecodeLimits()), one_face(pipeline, picture).landmarks)
        for picture in pictures
    ]
    correlation = np.corrcoef(crops[0].ravel(), crops[1].ravel())[0, 1]
    assert correlation > 0.6

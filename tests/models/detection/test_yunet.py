"""YuNet: parity with OpenCV, picture sizes, and the decoding of its outputs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from io import BytesIO

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.detection.detector import Detection
from models.detection.face_search import FaceSearch
from models.detection.yunet import YuNetDetector, decode_outputs
from models.errors import LowConfidence, NoFaceFound
from models.pictures.decoding import DecodeLimits, decode
from models.pipeline import FacePipeline
from models.session import Cancellation
from models.weights import find_weights
from tests.models.conftest import edited, encoded

Pixels = NDArray[np.uint8]


@pytest.fixture
def yunet(pipeline: FacePipeline) -> YuNetDetector:
    assert isinstance(pipeline.face_detector, YuNetDetector)
    return pipeline.face_detector


def pixels_of(picture: bytes) -> Pixels:
    return decode(picture, DecodeLimits())


def detect(
    yunet: YuNetDetector, image: Pixels, min_confidence: float = 0.7, max_faces: int = 1
) -> list[Detection]:
    """The faces found; an empty list when there are none."""
    search, cancellation = FaceSearch(yunet), Cancellation()
    with suppress(NoFaceFound, LowConfidence):
        found = search.faces(
            image,
            min_confidence=min_confidence,
            max_faces=max_faces,
            cancellation=cancellation,
        )
        return list(found)
    return []


def run_once(yunet: YuNetDetector, image: Pixels, side: int, floor: float) -> Sequence[Detection]:
    return yunet.detect(image, longest_side=side, floor=floor, cancellation=Cancellation())


def side_by_side(left: Image.Image, right: Image.Image) -> Image.Image:
    height = max(left.height, right.height)
    canvas = Image.new("RGB", (left.width + right.width, height), "white")
    canvas.paste(left, (0, 0))
    canvas.paste(right, (left.width, 0))
    return canvas


@pytest.mark.parametrize("scale", [1.0, 0.625, 0.33])
def test_parity_with_opencv(
    yunet: YuNetDetector, hopper: bytes, collins: bytes, scale: float
) -> None:
    """OpenCV's FaceDetectorYN finds the same boxes, landmarks and scores.

    It runs the published weights. The picture sizes are not multiples of 32, so that the padding
    is compared too.
    """
    both = side_by_side(Image.open(BytesIO(hopper)), Image.open(BytesIO(collins)))
    resized = both.resize((round(both.width * scale), round(both.height * scale)))
    image = pixels_of(encoded(resized, "PNG"))
    reference = cv2.FaceDetectorYN.create(
        str(find_weights("yunet")), "", (image.shape[1], image.shape[0]), 0.5, 0.3, 5000
    )
    rows = reference.detect(image)[1]
    ours = sorted(
        run_once(yunet, image, max(image.shape[:2]), 0.5), key=lambda f: -f.detection_confidence
    )
    assert 2 == len(rows) == len(ours)
    for row, face in zip(sorted(rows, key=lambda row: -row[14]), ours, strict=True):
        np.testing.assert_allclose(face.bounding_box, row[:4], atol=2e-3)
        np.testing.assert_allclose(face.landmarks.ravel(), row[4:14], atol=2e-3)
        assert face.detection_confidence == pytest.approx(row[14], abs=1e-5)


def test_landmarks_are_ordered_as_seen_in_the_image(yunet: YuNetDetector, hopper: bytes) -> None:
    """Left eye, right eye, nose, left mouth corner, right mouth corner; also in a mirror."""
    for picture in (hopper, edited(hopper, lambda p: p.transpose(Image.Transpose(0)))):
        left_eye, right_eye, nose, left_mouth, right_mouth = detect(yunet, pixels_of(picture))[
            0
        ].landmarks
        assert left_eye[0] < nose[0] < right_eye[0]
        assert left_mouth[0] < nose[0] < right_mouth[0]
        assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])


@pytest.mark.parametrize("side", [60, 160, 1500, 4000])
def test_a_face_is_found_at_any_picture_size(
    yunet: YuNetDetector, collins: bytes, side: int
) -> None:
    """Boxes are in source pixels, at the same relative position."""
    small = pixels_of(collins)
    image = np.asarray(cv2.resize(small, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
    expected = np.array(detect(yunet, small)[0].bounding_box) / small.shape[0]
    found = np.array(detect(yunet, image)[0].bounding_box) / side
    np.testing.assert_allclose(found, expected, atol=0.02)


@pytest.mark.parametrize("max_faces", [1, 5])
def test_a_face_that_fills_the_frame_is_found(
    yunet: YuNetDetector, hopper: bytes, max_faces: int
) -> None:
    """An enlarged tight crop is too large to be found at 640 pixels."""
    image = pixels_of(hopper)
    x, y, width, height = (round(value) for value in detect(yunet, image)[0].bounding_box)
    crop = image[y : y + height, x : x + width]
    huge = np.asarray(cv2.resize(crop, None, fx=7, fy=7), np.uint8)
    assert 1 == len(detect(yunet, huge, max_faces=max_faces))


def test_a_small_face_is_found_at_the_second_size(yunet: YuNetDetector, collins: bytes) -> None:
    """It is too small at 320 pixels, so 640 follows although one face is enough."""
    wide = Image.new("RGB", (1800, 1400), "grey")
    wide.paste(Image.open(BytesIO(collins)).resize((240, 240)), (900, 300))
    image = pixels_of(encoded(wide, "PNG"))
    small_only = run_once(yunet, image, 320, 0.7)
    assert not small_only
    (face,) = detect(yunet, image)
    assert 900 < face.bounding_box[0] < 1140


def test_large_and_small_faces_of_a_group_are_found(
    yunet: YuNetDetector, hopper: bytes, collins: bytes
) -> None:
    """For several faces both sizes are searched, and no face is counted twice."""
    group = Image.open(BytesIO(hopper)).resize((1280, 1500))
    group.paste(Image.open(BytesIO(collins)).resize((150, 150)), (0, 0))
    assert 2 == len(detect(yunet, pixels_of(encoded(group, "PNG")), max_faces=5))


@pytest.mark.parametrize("size", [(16, 12_000), (12_000, 16), (33, 31)])
def test_pictures_of_extreme_shape_are_searched(
    yunet: YuNetDetector, size: tuple[int, int]
) -> None:
    """Even a strip that would shrink to less than a pixel."""
    strip = np.full((size[1], size[0], 3), 127, np.uint8)
    assert [] == detect(yunet, strip, max_faces=5)


def test_a_minimum_below_the_floor_lowers_the_floor(yunet: YuNetDetector) -> None:
    """With a low minimum, doubtful faces are returned."""
    noise = np.random.default_rng(5).integers(0, 256, (320, 320, 3)).astype(np.uint8)
    assert [] == detect(yunet, noise, min_confidence=0.4)
    assert detect(yunet, noise, min_confidence=0.01)


def answered(
    rows: int, columns: int, cells: dict[tuple[int, int, int], float]
) -> dict[str, NDArray[np.float32]]:
    """Network outputs for a picture of that size, with scores by (stride, row, column).

    Each box has the size of its cell and is centred on the cell's corner; landmark number n is n
    cells to the right of it.
    """
    outputs = {}
    for stride in (8, 16, 32):
        high, wide = rows // stride, columns // stride
        scores = np.zeros((1, high * wide, 1), np.float32)
        for (of_stride, row, column), score in cells.items():
            if of_stride == stride:
                scores[0, row * wide + column] = score
        outputs[f"cls_{stride}"] = outputs[f"obj_{stride}"] = scores
        outputs[f"bbox_{stride}"] = np.zeros((1, high * wide, 4), np.float32)
        points = np.array([0, 0, 1, 0, 2, 0, 3, 0, 4, 0], np.float32)
        outputs[f"kps_{stride}"] = np.tile(points, (1, high * wide, 1))
    return outputs


def test_cells_of_every_stride_are_decoded() -> None:
    """The first and last cell of each stride, in a wide picture; best score first."""
    places = [(8, 0, 0), (8, 7, 11), (16, 0, 0), (16, 3, 5), (32, 0, 0), (32, 1, 2)]
    scores = [0.5, 0.9, 0.6, 0.8, 0.7, 0.95]
    boxes, landmarks, found = decode_outputs(
        answered(64, 96, dict(zip(places, scores, strict=True))), 96, 0.4
    )
    order = sorted(range(len(places)), key=lambda number: -scores[number])
    assert found.tolist() == pytest.approx([scores[number] for number in order])
    for box, points, number in zip(boxes, landmarks, order, strict=True):
        stride, row, column = places[number]
        x, y = column * stride, row * stride
        assert box.tolist() == [x - stride / 2, y - stride / 2, stride, stride]
        assert points.tolist() == [[x + n * stride, y] for n in range(5)]


def test_no_candidates_and_too_many() -> None:
    """No cell: empty arrays of the same shapes. All cells: the best are kept."""
    nothing = decode_outputs(answered(64, 96, {}), 96, 0.4)
    assert [part.shape for part in nothing] == [(0, 4), (0, 5, 2), (0,)]
    everything = decode_outputs(answered(256, 320, {(16, 3, 4): 0.8}), 320, 0.0)
    assert [part.shape for part in everything] == [(300, 4), (300, 5, 2), (300,)]
    assert everything[2][0] == pytest.approx(0.8)

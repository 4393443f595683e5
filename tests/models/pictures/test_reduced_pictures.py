"""Large JPEGs are decoded at reduced size, with the same results in less time."""

from __future__ import annotations

from contextlib import suppress
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

import models.picture_search
from models.detection.detector import Detection
from models.detection.rotated_faces import SCORE_NOISE
from models.errors import LowConfidence, NoFaceFound, UnreadableImage
from models.pictures.decoding import DecodeLimits, decode, decode_reduced
from models.pipeline import DetectedFaces, FacePipeline, ScoredImage
from tools.pictures import encoded, oriented, portrait

PHONE = (4032, 3024)
LIMITS = DecodeLimits()


@cache
def phone_picture(face_height: int, orientation: int = 1) -> bytes:
    """A JPEG of 12 megapixels that shows the portrait, stored with that orientation."""
    face = portrait()
    face = face.resize((face.width * face_height // face.height, face_height))
    picture = Image.new("RGB", PHONE, (128, 120, 110))
    picture.paste(face, (1300, 700))
    exif = Image.Exif()
    exif[0x0112] = orientation
    if orientation == 6:  # shown after a quarter turn clockwise
        picture = picture.transpose(Image.Transpose.ROTATE_90)
    return encoded(picture, "JPEG", quality=88, exif=exif)


def score(pipeline: FacePipeline, image: bytes) -> ScoredImage:
    return pipeline.score(image, min_confidence=0.7, max_faces=1)


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("face_height", [2000, 900])
def test_a_large_face_is_scored_as_in_the_whole_picture(
    pipeline: FacePipeline,
    monkeypatch: pytest.MonkeyPatch,
    face_height: int,
    orientation: int,
) -> None:
    """Box, landmarks and resolution are in source pixels, and the embedding is the same."""
    image = phone_picture(face_height, orientation)
    reduced = score(pipeline, image)
    monkeypatch.setattr(models.picture_search, "LARGE_FRAME", 1_000_000)
    plain = score(pipeline, image)
    assert (reduced.width, reduced.height) == (plain.width, plain.height) == PHONE
    one, other = reduced.faces[0], plain.faces[0]
    assert one.embedding @ other.embedding > 0.98
    between = other.measures.interocular_px
    assert np.abs(one.landmarks - other.landmarks).max() < 0.05 * between
    assert np.allclose(one.bounding_box, other.bounding_box, atol=0.1 * between)
    assert abs(one.measures.interocular_px - between) < 0.03 * between
    assert abs(one.measures.quality - other.measures.quality) < 0.03


def test_a_small_face_is_cropped_from_all_pixels(
    pipeline: FacePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found in the reduced picture, and embedded from the whole one."""
    image = phone_picture(300)
    decoded = whole_decodings(monkeypatch)
    found = score(pipeline, image)
    assert decoded == ["whole"]
    monkeypatch.setattr(models.picture_search, "LARGE_FRAME", 1_000_000)
    plain = score(pipeline, image)
    assert found.faces[0].embedding @ plain.faces[0].embedding > 0.98
    assert np.allclose(found.faces[0].landmarks, plain.faces[0].landmarks, atol=3)


def test_detected_faces_are_in_source_pixels(
    pipeline: FacePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ``/api/detect-face`` returns them."""
    image = phone_picture(900)
    reduced = pipeline.detect(image, min_confidence=0.7)
    monkeypatch.setattr(models.picture_search, "LARGE_FRAME", 1_000_000)
    plain = pipeline.detect(image, min_confidence=0.7)
    assert (reduced.width, reduced.height) == PHONE
    assert len(reduced.faces) == len(plain.faces) == 1
    assert np.allclose(reduced.faces[0].bounding_box, plain.faces[0].bounding_box, atol=12)


@pytest.mark.parametrize("orientation", [1, 6])
def test_the_error_of_a_picture_without_a_face_has_the_source_size(
    pipeline: FacePipeline, orientation: int
) -> None:
    """Not the reduced size."""
    size = PHONE if orientation == 1 else PHONE[::-1]
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = encoded(Image.new("RGB", size, (128, 120, 110)), "JPEG", exif=exif)
    with pytest.raises(NoFaceFound, match="4032 x 3024 pixels") as missing:
        score(pipeline, image)
    assert (missing.value.width, missing.value.height) == PHONE


def crowded_picture() -> bytes:
    """20 megapixels with one large portrait, and small sharp, blurred and tilted ones.

    The blurred and tilted ones are as doubtful as faces get.
    """
    picture = Image.new("RGB", (3880, 5184), (128, 120, 110))
    large = portrait("eileen-collins").resize((1400, 1400))
    picture.paste(large, (200, 300))
    for row, name in enumerate(("grace-hopper", "eileen-collins")):
        for column, width in enumerate((150, 190, 230, 280, 340)):
            face = portrait(name)
            face = face.resize((width, face.height * width // face.width))
            for line, edited in enumerate(
                (face, face.filter(ImageFilter.GaussianBlur(width / 36)), face.rotate(35))
            ):
                picture.paste(edited, (200 + column * 700, 2000 + (row * 3 + line) * 480))
    return encoded(picture, "JPEG", quality=88)


@pytest.mark.parametrize("max_faces", [1, 64])
def test_small_and_doubtful_faces_are_those_of_the_whole_picture(
    pipeline: FacePipeline, monkeypatch: pytest.MonkeyPatch, max_faces: int
) -> None:
    """Close-ups of enlarged pixels would accept some wrongly, and reject others."""
    image = crowded_picture()
    scored = pipeline.score(image, min_confidence=0.7, max_faces=max_faces)
    detected = pipeline.detect(image, min_confidence=0.7)
    monkeypatch.setattr(models.picture_search, "LARGE_FRAME", 1_000_000)
    plain = pipeline.score(image, min_confidence=0.7, max_faces=max_faces)
    everyone = pipeline.detect(image, min_confidence=0.7)
    assert len(everyone.faces) > 12
    assert len(plain.faces) == min(max_faces, len(everyone.faces))
    assert _boxes(scored) == pytest.approx(_boxes(plain), abs=12)
    assert _boxes(detected) == pytest.approx(_boxes(everyone), abs=0.01)


def test_a_near_miss_is_searched_in_the_whole_picture(
    pipeline: FacePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it is a face must not depend on how the picture was reduced."""
    image = phone_picture(900)
    exact = score(pipeline, image).faces[0].detection_confidence
    decoded = whole_decodings(monkeypatch)
    just_above = min(1.0, exact + SCORE_NOISE / 2)
    with suppress(LowConfidence):
        pipeline.score(image, min_confidence=just_above, max_faces=1)
    assert decoded == ["whole"]


def whole_decodings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that grows by one with every picture decoded whole."""
    decoded: list[str] = []

    def watched(data: bytes, limits: DecodeLimits) -> object:
        decoded.append("whole")
        return decode(data, limits)

    monkeypatch.setattr(models.picture_search, "decode", watched)
    return decoded


def _boxes(found: ScoredImage | DetectedFaces) -> NDArray[np.float64]:
    return np.array([face.bounding_box for face in found.faces])


def test_one_sure_face_needs_only_the_reduced_picture(
    pipeline: FacePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The most common large photograph stays cheap."""
    decoded = whole_decodings(monkeypatch)
    score(pipeline, phone_picture(900))
    pipeline.detect(phone_picture(900), min_confidence=0.7)
    assert decoded == []


@pytest.mark.parametrize("orientation", range(1, 9))
def test_points_of_a_reduced_picture_map_to_the_source(orientation: int) -> None:
    """Also when its sides, which are rounded up before rotation, are not exact fractions."""
    square = Image.new("RGB", (5129, 4105), "black")
    square.paste((255, 255, 255), (3200, 800, 3600, 1200))
    reduced = decode_reduced(oriented(square, orientation), LIMITS, longest_side=640)
    assert reduced.factor == 8
    rows, columns = np.nonzero(reduced.pixels[:, :, 0] > 127)
    left, top = float(columns.min()), float(rows.min())
    width, height = float(columns.max()) + 1 - left, float(rows.max()) + 1 - top
    corners = np.array([[left, top]] * 5, dtype=np.float32)
    face = Detection((left, top, width, height), corners, 0.9).in_source(reduced)
    # Half a reduced pixel, because the square's edges may be inside one.
    assert face.bounding_box == pytest.approx((3200, 800, 400, 400), abs=4.1)
    assert face.landmarks[0] == pytest.approx((3200, 800), abs=4.1)


@pytest.mark.parametrize(
    ("size", "wanted", "rows_and_columns"),
    [
        ((4032, 3024), 1280, (1512, 2016)),
        ((2559, 1000), 1280, (1000, 2559)),
        ((2561, 1001), 1280, (501, 1281)),
        ((6000, 4500), 1280, (1125, 1500)),
        ((4032, 3024), None, (3024, 4032)),
    ],
)
def test_the_longest_side_is_never_below_the_requested_one(
    size: tuple[int, int], wanted: int | None, rows_and_columns: tuple[int, int]
) -> None:
    """Sides are rounded up."""
    image = encoded(Image.new("RGB", size, (90, 120, 150)), "JPEG")
    picture = decode_reduced(image, LIMITS, longest_side=wanted)
    assert picture.pixels.shape == (*rows_and_columns, 3)
    assert (picture.width, picture.height) == size
    assert picture.is_reduced == (picture.pixels.shape[:2] != (size[1], size[0]))


def test_other_formats_are_decoded_whole() -> None:
    """Only JPEG can be decoded at reduced size."""
    image = encoded(Image.new("RGB", (3000, 2000), (90, 120, 150)), "PNG")
    assert not decode_reduced(image, LIMITS, longest_side=1280).is_reduced


def test_a_truncated_picture_is_refused() -> None:
    """Also when it is decoded at reduced size."""
    image = encoded(Image.new("RGB", (4032, 3024), (90, 120, 150)), "JPEG")
    cut = image[: len(image) // 8]
    with pytest.raises(UnreadableImage):
        decode_reduced(cut, LIMITS, longest_side=1280)

"""Large JPEGs are decoded at a part of their size, and nobody notices but by the time."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from PIL import Image

import models.pipeline
from models.decoding import DecodeLimits, decode, decode_reduced
from models.errors import NoFaceFound, UnreadableImage
from models.pipeline import FacePipeline, ScoredImage
from tests.pictures import encoded, portrait

PHONE = (4032, 3024)
LIMITS = DecodeLimits()


@cache
def phone_picture(face_height: int, orientation: int = 1) -> bytes:
    """A JPEG of 12 megapixels that shows the portrait, stored as the orientation says."""
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
    """Its box, landmarks and resolution in pixels of the source, and an equal embedding."""
    image = phone_picture(face_height, orientation)
    reduced = score(pipeline, image)
    monkeypatch.setattr(models.pipeline, "LARGE_FRAME", 1_000_000)
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
    """Found in a part of them, embedded from the whole."""
    image = phone_picture(300)
    decoded: list[str] = []

    def watched(data: bytes, limits: DecodeLimits) -> object:
        decoded.append("whole")
        return decode(data, limits)

    monkeypatch.setattr(models.pipeline, "decode", watched)
    found = score(pipeline, image)
    assert decoded == ["whole"]
    monkeypatch.setattr(models.pipeline, "LARGE_FRAME", 1_000_000)
    plain = score(pipeline, image)
    assert found.faces[0].embedding @ plain.faces[0].embedding > 0.98
    assert np.allclose(found.faces[0].landmarks, plain.faces[0].landmarks, atol=3)


def test_faces_that_are_only_detected_are_in_source_pixels_too(
    pipeline: FacePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page /api/detect-face has the same boxes."""
    image = phone_picture(900)
    reduced = pipeline.detect(image, min_confidence=0.7)
    monkeypatch.setattr(models.pipeline, "LARGE_FRAME", 1_000_000)
    plain = pipeline.detect(image, min_confidence=0.7)
    assert (reduced.width, reduced.height) == PHONE
    assert len(reduced.faces) == len(plain.faces) == 1
    assert np.allclose(reduced.faces[0].bounding_box, plain.faces[0].bounding_box, atol=12)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_picture_without_a_face_is_told_by_its_own_size(
    pipeline: FacePipeline, orientation: int
) -> None:
    """Whoever reads of 2016 x 1512 pixels would look for another picture."""
    size = PHONE if orientation == 1 else PHONE[::-1]
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = encoded(Image.new("RGB", size, (128, 120, 110)), "JPEG", exif=exif)
    with pytest.raises(NoFaceFound, match="4032 x 3024 pixels") as missing:
        score(pipeline, image)
    assert (missing.value.width, missing.value.height) == PHONE


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
def test_no_more_is_left_out_than_allowed(
    size: tuple[int, int], wanted: int | None, rows_and_columns: tuple[int, int]
) -> None:
    """The longest side stays at or above what is wanted; sides are rounded up."""
    image = encoded(Image.new("RGB", size, (90, 120, 150)), "JPEG")
    picture = decode_reduced(image, LIMITS, longest_side=wanted)
    assert picture.pixels.shape == (*rows_and_columns, 3)
    assert (picture.width, picture.height) == size
    assert picture.is_reduced == (picture.pixels.shape[:2] != (size[1], size[0]))


def test_other_formats_come_whole() -> None:
    """Only JPEG can be decoded in part."""
    image = encoded(Image.new("RGB", (3000, 2000), (90, 120, 150)), "PNG")
    assert not decode_reduced(image, LIMITS, longest_side=1280).is_reduced


def test_a_picture_that_is_cut_off_is_refused_all_the_same() -> None:
    """Fewer pixels are no reason to be content with half of them."""
    image = encoded(Image.new("RGB", (4032, 3024), (90, 120, 150)), "JPEG")
    cut = image[: len(image) // 8]
    with pytest.raises(UnreadableImage):
        decode_reduced(cut, LIMITS, longest_side=1280)

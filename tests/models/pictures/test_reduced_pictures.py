"""Large JPEGs are decoded at a part of their size, and nobody notices but by the time."""

from __future__ import annotations

from contextlib import suppress
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

import models.pipeline
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
    decoded = whole_decodings(monkeypatch)
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


def crowded_picture() -> bytes:
    """20 megapixels: one large portrait, small ones, and small ones that are blurred or askew, as
    doubtful as faces get."""
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
    """A closer look at enlarged pixels would take some for faces, and others for none."""
    image = crowded_picture()
    scored = pipeline.score(image, min_confidence=0.7, max_faces=max_faces)
    detected = pipeline.detect(image, min_confidence=0.7)
    monkeypatch.setattr(models.pipeline, "LARGE_FRAME", 1_000_000)
    plain = pipeline.score(image, min_confidence=0.7, max_faces=max_faces)
    everyone = pipeline.detect(image, min_confidence=0.7)
    assert len(everyone.faces) > 12
    assert len(plain.faces) == min(max_faces, len(everyone.faces))
    assert _boxes(scored) == pytest.approx(_boxes(plain), abs=12)
    assert _boxes(detected) == pytest.approx(_boxes(everyone), abs=0.01)


def test_a_candidate_that_just_misses_is_looked_at_among_all_pixels(
    pipeline: FacePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it is a face must not hang on how the picture was shrunk."""
    image = phone_picture(900)
    exact = score(pipeline, image).faces[0].detection_confidence
    decoded = whole_decodings(monkeypatch)
    just_above = min(1.0, exact + SCORE_NOISE / 2)
    with suppress(LowConfidence):
        pipeline.score(image, min_confidence=just_above, max_faces=1)
    assert decoded == ["whole"]


def whole_decodings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows by one with every picture that is decoded whole."""
    decoded: list[str] = []

    def watched(data: bytes, limits: DecodeLimits) -> object:
        decoded.append("whole")
        return decode(data, limits)

    monkeypatch.setattr(models.pipeline, "decode", watched)
    return decoded


def _boxes(found: ScoredImage | DetectedFaces) -> NDArray[np.float64]:
    return np.array([face.bounding_box for face in found.faces])


def test_one_sure_face_is_read_in_part_only(
    pipeline: FacePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The common large photograph stays cheap."""
    decoded = whole_decodings(monkeypatch)
    score(pipeline, phone_picture(900))
    pipeline.detect(phone_picture(900), min_confidence=0.7)
    assert decoded == []


def test_a_large_picture_without_a_face_says_its_own_size(pipeline: FacePipeline) -> None:
    """Not that of the part in which it was looked for."""
    image = encoded(Image.new("RGB", PHONE, (128, 120, 110)), "JPEG")
    with pytest.raises(NoFaceFound) as raised:
        score(pipeline, image)
    assert (raised.value.width, raised.value.height) == PHONE


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_point_of_a_reduced_picture_is_where_it_is_in_the_source(orientation: int) -> None:
    """Also where the sides are no whole multiples: they are rounded up before it is turned."""
    square = Image.new("RGB", (5129, 4105), "black")
    square.paste((255, 255, 255), (3200, 800, 3600, 1200))
    reduced = decode_reduced(oriented(square, orientation), LIMITS, longest_side=640)
    assert reduced.factor == 8
    rows, columns = np.nonzero(reduced.pixels[:, :, 0] > 127)
    left, top = float(columns.min()), float(rows.min())
    width, height = float(columns.max()) + 1 - left, float(rows.max()) + 1 - top
    corners = np.array([[left, top]] * 5, dtype=np.float32)
    face = Detection((left, top, width, height), corners, 0.9).in_source(reduced)
    # Half a reduced pixel, for the square's edges need not lie between two of them.
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

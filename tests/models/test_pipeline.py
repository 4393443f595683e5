"""The pipeline with the real models, and with detectors whose answers are known."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from models.detection.detector import Detection, FaceDetector
from models.embedding.alignment import align
from models.errors import (
    CorruptWeights,
    ImageTooLarge,
    InferenceFailed,
    InferenceTerminated,
    LowConfidence,
    NoFaceFound,
    UnknownModel,
    UnreadableImage,
)
from models.loading import load_pipeline
from models.manifest import ModelDescription, describe
from models.pictures.decoding import DecodeLimits, decode
from models.pipeline import FacePipeline
from models.session import Cancellation
from tests.models.conftest import edited, encoded


class StubDetector:
    """Returns ``candidates``; optionally cancels the request first."""

    def __init__(self, candidates: Sequence[Detection], *, cancels: bool = False) -> None:
        self._candidates = candidates
        self._cancels = cancels

    @property
    def description(self) -> ModelDescription:
        return describe("yunet")

    @property
    def sizes(self) -> tuple[int, ...]:
        return (320,)

    def detect(
        self,
        image: NDArray[np.uint8],
        *,
        longest_side: int,
        floor: float,
        cancellation: Cancellation,
    ) -> Sequence[Detection]:
        if self._cancels:
            cancellation.cancel()
        return self._candidates


def with_detector(pipeline: FacePipeline, detector: FaceDetector) -> FacePipeline:
    return replace(pipeline, face_detector=detector)


def test_a_portrait_is_scored(pipeline: FacePipeline, hopper: bytes) -> None:
    """One face in source pixels, with every field a consumer needs."""
    scored = pipeline.score(hopper, min_confidence=0.7, max_faces=1)
    (face,) = scored.faces
    assert (512, 600) == (scored.width, scored.height)
    assert hashlib.sha256(hopper).hexdigest() == scored.image_sha256
    np.testing.assert_allclose(face.bounding_box, (175.2, 114.0, 174.2, 210.5), atol=4)
    assert (5, 2) == face.landmarks.shape
    assert face.detection_confidence > 0.9
    assert ["decode", "detect", "align", "embed"] == list(scored.timings_ms)
    assert all(spent > 0 for spent in scored.timings_ms.values())


def test_the_models_are_described(pipeline: FacePipeline) -> None:
    """Name and published SHA-256 of both, and the dimension of embeddings."""
    assert ("yunet", "sface") == (pipeline.detector.name, pipeline.embedder.name)
    assert pipeline.detector.sha256.startswith("49f000ec501fef24")
    assert pipeline.embedder.sha256.startswith("fb143eea07838aa5")
    assert 128 == pipeline.embedder.dimension


def test_two_people_in_one_picture(pipeline: FacePipeline, hopper: bytes, collins: bytes) -> None:
    """Both are found, the larger first; with ``max_faces`` 1 only the larger."""
    left, right = Image.open(BytesIO(collins)), Image.open(BytesIO(hopper))
    both = Image.new("RGB", (1024, 600))
    both.paste(left, (0, 0))
    both.paste(right, (512, 0))
    picture = encoded(both, "JPEG", quality=95)
    two = pipeline.score(picture, min_confidence=0.7, max_faces=5).faces
    assert [True, False] == [face.bounding_box[0] > 512 for face in two]
    singles = [pipeline.score(p, min_confidence=0.7, max_faces=1) for p in (hopper, collins)]
    for face, single in zip(two, singles, strict=True):
        assert face.embedding @ single.faces[0].embedding > 0.9
    (one,) = pipeline.score(picture, min_confidence=0.7, max_faces=1).faces
    assert one.bounding_box[0] > 512


def test_boxes_refer_to_the_upright_picture(pipeline: FacePipeline, hopper: bytes) -> None:
    """A picture stored sideways with its EXIF orientation gets the same scores."""
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = Image.open(BytesIO(hopper)).transpose(Image.Transpose.ROTATE_90)
    turned = encoded(stored, "JPEG", exif=exif, quality=95)
    scored = pipeline.score(turned, min_confidence=0.7, max_faces=1)
    upright = pipeline.score(hopper, min_confidence=0.7, max_faces=1)
    assert (512, 600) == (scored.width, scored.height)
    np.testing.assert_allclose(scored.faces[0].bounding_box, upright.faces[0].bounding_box, atol=3)
    assert scored.faces[0].embedding @ upright.faces[0].embedding > 0.98


def test_a_picture_without_a_face(pipeline: FacePipeline) -> None:
    """A drawn house contains no candidate, not even a doubtful one."""
    house = Image.new("RGB", (640, 480), "skyblue")
    draw = ImageDraw.Draw(house)
    draw.rectangle((200, 200, 440, 400), "firebrick")
    draw.polygon([(180, 200), (320, 90), (460, 200)], "saddlebrown")
    with pytest.raises(NoFaceFound, match="640 x 480"):
        pipeline.score(encoded(house, "JPEG"), min_confidence=0.7, max_faces=3)


def test_a_doubtful_face(pipeline: FacePipeline, hopper: bytes) -> None:
    """The error names the best confidence and the minimum."""
    with pytest.raises(LowConfidence) as caught:
        pipeline.score(hopper, min_confidence=0.99, max_faces=1)
    assert 0.9 < caught.value.best < caught.value.minimum == 0.99


def test_bad_pictures_keep_their_own_errors(pipeline: FacePipeline, hopper: bytes) -> None:
    """Decoding errors reach the caller unchanged."""
    with pytest.raises(UnreadableImage):
        pipeline.score(b"no picture", min_confidence=0.7, max_faces=1)
    strict = replace(pipeline, limits=DecodeLimits(max_pixels=1000))
    with pytest.raises(ImageTooLarge):
        strict.score(hopper, min_confidence=0.7, max_faces=1)


def test_max_faces_below_one_is_refused(pipeline: FacePipeline) -> None:
    """As a mistake of the caller, before the picture is read."""
    with pytest.raises(ValueError, match="at least 1, not 0"):
        pipeline.score(b"", min_confidence=0.7, max_faces=0)


def test_a_cancelled_request_ends(pipeline: FacePipeline, hopper: bytes) -> None:
    """Before the first stage, and between stages."""
    cancellation = Cancellation()
    cancellation.cancel()
    with pytest.raises(InferenceTerminated):
        pipeline.score(b"unread", min_confidence=0.7, max_faces=1, cancellation=cancellation)
    face = Detection((0, 0, 100, 100), np.eye(5, 2, dtype=np.float32) * 50, 0.9)
    slow = with_detector(pipeline, StubDetector([face], cancels=True))
    with pytest.raises(InferenceTerminated):
        slow.score(hopper, min_confidence=0.7, max_faces=1)


def test_landmarks_on_one_point_are_a_failed_inference(
    pipeline: FacePipeline, hopper: bytes
) -> None:
    """The error names the detector."""
    face = Detection((0, 0, 100, 100), np.full((5, 2), 50, np.float32), 0.9)
    broken = with_detector(pipeline, StubDetector([face]))
    with pytest.raises(InferenceFailed, match="yunet failed: The landmarks"):
        broken.score(hopper, min_confidence=0.7, max_faces=1)


def test_threads_share_the_pipeline(pipeline: FacePipeline, hopper: bytes, collins: bytes) -> None:
    """Four threads that score two pictures repeatedly never mix them up."""
    expected = [
        pipeline.score(p, min_confidence=0.7, max_faces=1).faces[0].embedding
        for p in (hopper, collins)
    ]

    def scored(number: int) -> NDArray[np.float32]:
        # Thresholds alternate, because no call may affect another.
        picture = (hopper, collins)[number % 2]
        faces = pipeline.score(picture, min_confidence=0.3 + number % 5 / 10, max_faces=1).faces
        return faces[0].embedding

    with ThreadPoolExecutor(4) as pool:
        for number, embedding in enumerate(pool.map(scored, range(24))):
            np.testing.assert_array_equal(embedding, expected[number % 2])


def test_warm_up_proves_that_the_models_work(pipeline: FacePipeline) -> None:
    """It passes with the real models, and fails with a detector that finds nothing."""
    pipeline.warm_up()
    with pytest.raises(NoFaceFound):
        with_detector(pipeline, StubDetector([])).warm_up()


def test_loading_refuses_unknown_and_corrupt_models(cache_dir: Path, tmp_path: Path) -> None:
    """Unknown names, models for another task, and corrupt weight files."""
    limits = DecodeLimits()
    with pytest.raises(UnknownModel):
        load_pipeline(detector="sface", model_path=None, cache_dir=cache_dir, limits=limits)
    with pytest.raises(UnknownModel):
        load_pipeline(embedder="facenet", model_path=None, cache_dir=cache_dir, limits=limits)
    (tmp_path / describe("sface").file_name).write_bytes(b"not the weights")
    with pytest.raises(CorruptWeights, match="sface"):
        load_pipeline(model_path=tmp_path, cache_dir=cache_dir, limits=limits)


def test_a_grey_picture_of_a_face_scores_like_a_coloured_one(
    pipeline: FacePipeline, collins: bytes
) -> None:
    """Colour is not required."""
    grey = pipeline.score(
        edited(collins, lambda p: p.convert("L")), min_confidence=0.7, max_faces=1
    )
    assert grey.faces[0].measures.quality > 0.5


def test_every_face_is_detected(pipeline: FacePipeline, hopper: bytes, collins: bytes) -> None:
    """The most prominent first, with the same boxes as in scoring."""
    both = Image.new("RGB", (1024, 600))
    both.paste(Image.open(BytesIO(collins)), (0, 0))
    both.paste(Image.open(BytesIO(hopper)), (512, 0))
    picture = encoded(both, "JPEG", quality=95)
    found = pipeline.detect(picture, min_confidence=0.7)
    scored = pipeline.score(picture, min_confidence=0.7, max_faces=2)
    assert (1024, 600) == (found.width, found.height)
    assert [face.bounding_box for face in scored.faces] == [
        face.bounding_box for face in found.faces
    ]


def test_detecting_no_face_is_a_valid_result(pipeline: FacePipeline, hopper: bytes) -> None:
    """Without any face, and with all of them below the minimum; a bad picture still fails."""
    blank = encoded(Image.new("RGB", (200, 200), "skyblue"), "PNG")
    assert () == pipeline.detect(blank, min_confidence=0.7).faces
    assert () == pipeline.detect(hopper, min_confidence=0.99).faces
    assert pipeline.detect(hopper, min_confidence=0.7).faces
    with pytest.raises(UnreadableImage):
        pipeline.detect(b"no picture", min_confidence=0.7)


def test_an_aligned_crop_is_embedded_without_detection(
    pipeline: FacePipeline, hopper: bytes
) -> None:
    """The crop of a portrait gets the portrait's embedding; a larger copy nearly the same."""
    portrait = pipeline.score(hopper, min_confidence=0.7, max_faces=1).faces[0]
    pixels = decode(hopper, DecodeLimits())
    crop = Image.fromarray(align(pixels, portrait.landmarks)[:, :, ::-1])
    embedded = pipeline.embed_aligned(encoded(crop, "PNG"))
    np.testing.assert_allclose(embedded.embedding, portrait.embedding, atol=1e-5)
    assert 0.5 < embedded.quality < 1.0
    assert portrait.measures.confidence <= embedded.confidence <= 1.0
    larger = pipeline.embed_aligned(encoded(crop.resize((224, 224)), "PNG"))
    assert larger.embedding @ portrait.embedding > 0.97
    assert np.linalg.norm(larger.embedding) == pytest.approx(1.0, abs=1e-5)


def test_a_small_aligned_crop_has_a_lower_quality(pipeline: FacePipeline, hopper: bytes) -> None:
    """Resolution is measured before the crop is enlarged."""
    portrait = pipeline.score(hopper, min_confidence=0.7, max_faces=1).faces[0]
    crop = Image.fromarray(align(decode(hopper, DecodeLimits()), portrait.landmarks)[:, :, ::-1])
    whole, small = (
        pipeline.embed_aligned(encoded(crop.resize((side, side)), "PNG")) for side in (112, 28)
    )
    assert small.quality < whole.quality


def test_detecting_and_embedding_end_when_cancelled(pipeline: FacePipeline) -> None:
    """Before they read the picture."""
    cancellation = Cancellation()
    cancellation.cancel()
    with pytest.raises(InferenceTerminated):
        pipeline.detect(b"unread", min_confidence=0.7, cancellation=cancellation)
    with pytest.raises(InferenceTerminated):
        pipeline.embed_aligned(b"unread", cancellation=cancellation)

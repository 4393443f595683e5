"""Embeddings: parity with OpenCV, golden vectors, and robustness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from models.embedding.alignment import align
from models.embedding.embedder import AlignedCropEmbedder
from models.errors import InferenceFailed
from models.manifest import describe
from models.pictures.decoding import DecodeLimits, decode
from models.pipeline import Face, FacePipeline
from models.session import Cancellation
from models.weights import find_weights
from tests.models.conftest import Edit, edited

GOLDEN_HOPPER = [
    -0.0233,
    0.0703,
    -0.0003,
    -0.0669,
    0.1502,
    0.1474,
    0.0703,
    0.0055,
    -0.0015,
    0.1518,
    -0.0405,
    0.0619,
    0.1603,
    -0.0712,
    0.0420,
    0.0382,
]
GOLDEN_COLLINS = [
    -0.0030,
    -0.1158,
    0.0855,
    0.1579,
    0.0315,
    0.0205,
    0.1186,
    0.0514,
    0.0189,
    0.0829,
    -0.0473,
    0.0619,
    -0.0744,
    0.0287,
    0.0542,
    0.0142,
]


def only_face(pipeline: FacePipeline, picture: bytes) -> Face:
    return pipeline.score(picture, min_confidence=0.7, max_faces=1).faces[0]


def test_parity_with_opencv(
    pipeline: FacePipeline, hopper: bytes, collins: bytes, tmp_path: Path
) -> None:
    """OpenCV's FaceRecognizerSF gives the same crop and embedding from the same landmarks.

    It gets the published graph without its stale inputs, which OpenCV 5 does not accept.
    """
    published = onnx.load(find_weights("sface"))
    del published.graph.input[1:]
    onnx.save(published, tmp_path / "sface.onnx")
    reference = cv2.FaceRecognizerSF.create(str(tmp_path / "sface.onnx"), "")
    for picture in (hopper, collins):
        face, image = only_face(pipeline, picture), decode(picture, DecodeLimits())
        row = np.concatenate([face.bounding_box, face.landmarks.ravel(), [1.0]]).astype(np.float32)
        crop = reference.alignCrop(image, row[np.newaxis])
        assert np.abs(crop.astype(int) - align(image, face.landmarks)).mean() < 0.05
        feature = reference.feature(crop)[0]
        assert feature @ face.embedding / np.linalg.norm(feature) > 0.9999
        assert np.linalg.norm(feature) == pytest.approx(face.measures.embedding_norm, rel=2e-3)


def test_golden_vectors(pipeline: FacePipeline, hopper: bytes, collins: bytes) -> None:
    """Users' indexes contain such embeddings: a change of them requires a new collection."""
    for picture, golden in ((hopper, GOLDEN_HOPPER), (collins, GOLDEN_COLLINS)):
        np.testing.assert_allclose(only_face(pipeline, picture).embedding[:16], golden, atol=3e-3)


VARIANTS: dict[str, Edit] = {
    "cropped": lambda p: p.crop((p.width // 6, 20, p.width * 5 // 6, p.height * 4 // 5)),
    "mirrored": lambda p: p.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "darker": lambda p: ImageEnhance.Brightness(p).enhance(0.5),
    "grey": lambda p: p.convert("L"),
    "half the size": lambda p: p.reduce(2),
    "slightly rotated": lambda p: p.rotate(12, Image.Resampling.BICUBIC),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_is_nearer_to_its_own_person(
    pipeline: FacePipeline, hopper: bytes, collins: bytes, variant: str
) -> None:
    """Above SFace's threshold of 0.463 (false accept rate 1e-5); the other person is far below."""
    originals = [only_face(pipeline, picture).embedding for picture in (hopper, collins)]
    for own, picture in enumerate((hopper, collins)):
        varied = only_face(pipeline, edited(picture, VARIANTS[variant])).embedding
        assert varied @ originals[own] > 0.6
        assert varied @ originals[1 - own] < 0.3


def test_the_embedding_is_a_float32_unit_vector(pipeline: FacePipeline, hopper: bytes) -> None:
    """Its dimension is that of the manifest."""
    embedding = only_face(pipeline, hopper).embedding
    assert (pipeline.embedder.dimension,) == embedding.shape
    assert np.float32 == embedding.dtype
    assert np.linalg.norm(embedding) == pytest.approx(1.0, abs=1e-6)


class RecordingSession:
    """Returns a fixed answer and records the input tensor."""

    def __init__(self, answer: list[float]) -> None:
        self.answer = np.array([answer], dtype=np.float32)
        self.tensor: NDArray[np.float32] = np.empty(0, np.float32)

    def run(
        self, tensor: NDArray[np.float32], cancellation: Cancellation
    ) -> Mapping[str, NDArray[np.float32]]:
        self.tensor = tensor
        return {"embedding": self.answer}


@pytest.mark.parametrize(
    ("channels", "mean", "scale", "expected"),
    [("rgb", 0.0, 1.0, [30, 20, 10]), ("bgr", 127.5, 127.5, [-0.9216, -0.8431, -0.7647])],
)
def test_the_manifest_decides_channel_order_and_scaling(
    channels: str, mean: float, scale: float, expected: list[float]
) -> None:
    """The graph gets (value - mean) / scale, with planes in the described order."""
    session = RecordingSession([3.0, 4.0])
    description = replace(describe("sface"), dimension=2, mean=mean, scale=scale)
    description = replace(description, channels="rgb" if channels == "rgb" else "bgr")
    crop = np.full((112, 112, 3), (10, 20, 30), np.uint8)
    embedding = AlignedCropEmbedder(session, description).embed(crop, Cancellation())
    assert (1, 3, 112, 112) == session.tensor.shape
    np.testing.assert_allclose(session.tensor[0, :, 50, 50], expected, atol=1e-4)
    assert 5.0 == embedding.norm
    np.testing.assert_allclose(embedding.vector, [0.6, 0.8])


@pytest.mark.parametrize(
    ("answer", "reason"),
    [([1.0, 2.0, 3.0], "3 values, not 2 values"), ([0.0, 0.0], "length 0"), ([1.0, np.nan], "nan")],
)
def test_an_unusable_answer_is_a_failed_inference(answer: list[float], reason: str) -> None:
    """A vector of a wrong size, or without a direction, never reaches an index."""
    embedder = AlignedCropEmbedder(
        RecordingSession(answer), replace(describe("sface"), dimension=2)
    )
    with pytest.raises(InferenceFailed, match=f"sface failed: .*{reason}"):
        embedder.embed(np.zeros((112, 112, 3), np.uint8), Cancellation())

"""Detectors and embedders of every family, behind the same two interfaces."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models.built_in_picture import built_in_pixels
from models.check import check_model
from models.embedding.alignment import TEMPLATE
from models.errors import (
    BadDescription,
    InferenceFailed,
    LicenceNotAccepted,
    UnknownModel,
)
from models.loading import load_assessor, load_detector, load_embedder, load_pipeline
from models.manifest import ModelDescription, chosen, describe, known_models, manifest
from models.pictures.decoding import DecodeLimits
from models.pipeline import FacePipeline
from models.session import Cancellation
from models.weights import find_weights
from tests.models.generated_graphs import constant_graph, embedder_graph, quality_model
from tests.models.npm_weights import npm_weights

LIMITS = DecodeLimits()

OWN_512 = """
task = "embed"
family = "aligned_crop"
input_size = [112, 112]
channels = "rgb"
mean = 127.5
scale = 127.5
dimension = 512
"""

SCRFD = """
task = "detect"
family = "scrfd"
input_size = [0, 0]
channels = "rgb"
mean = 127.5
scale = 128.0
"""


def own_model(folder: Path, described: str = OWN_512, dimension: int = 512) -> Path:
    path = embedder_graph(folder / "mine.onnx", dimension)
    path.with_suffix(".toml").write_text(described)
    return path


def load(model_path: Path, cache_dir: Path, embedder: str = "sface") -> FacePipeline:
    return load_pipeline(
        embedder=embedder, model_path=model_path, cache_dir=cache_dir, limits=LIMITS
    )


@pytest.mark.parametrize("as_file", [True, False], ids=["file", "folder"])
def test_512_dimensions_from_a_file_of_ones_own(
    tmp_path: Path, cache_dir: Path, hopper: bytes, as_file: bool
) -> None:
    """By the file itself, or by its name in a folder; size, length and description follow."""
    path = own_model(tmp_path)
    pipeline = load(path, cache_dir) if as_file else load(tmp_path, cache_dir, embedder="mine")
    (face,) = pipeline.score(hopper, min_confidence=0.7, max_faces=1).faces
    assert ("mine", 512) == (pipeline.embedder.name, pipeline.embedder.dimension)
    assert (512,) == face.embedding.shape
    assert float(np.linalg.norm(face.embedding)) == pytest.approx(1.0, abs=1e-5)
    assert face.measures.recognisability is None
    assert 0.0 < face.measures.quality < 1.0


def test_a_described_dimension_that_is_wrong_is_refused(
    tmp_path: Path, cache_dir: Path, hopper: bytes
) -> None:
    """Before anything reaches a collection of the wrong size."""
    pipeline = load(own_model(tmp_path, dimension=256), cache_dir)
    with pytest.raises(InferenceFailed, match="mine failed: 256 values, not 512 values"):
        pipeline.score(hopper, min_confidence=0.7, max_faces=1)


@pytest.mark.parametrize(
    ("described", "told"),
    [
        (OWN_512.replace("dimension = 512", ""), "dimension"),
        (OWN_512.replace("aligned_crop", "facenet"), "'facenet'"),
        (OWN_512.replace('"rgb"', '"hsv"'), "'hsv'"),
        (OWN_512.replace("scale = 127.5", "scale = 0.0"), "scale"),
        (OWN_512.replace("mean = 127.5", ""), "missing fields 'mean'"),
        (OWN_512 + "colour = 1", "unknown fields colour"),
        ("task = ", "mine.toml"),
    ],
)
def test_a_description_that_is_wrong_is_explained(
    tmp_path: Path, described: str, told: str
) -> None:
    """Which file, and what in it."""
    own_model(tmp_path, described)
    with pytest.raises(BadDescription, match=told):
        known_models(tmp_path)


def test_a_file_without_a_description_is_refused(tmp_path: Path) -> None:
    """Channel order and scale cannot be guessed; the message says where to write them."""
    path = own_model(tmp_path)
    path.with_suffix(".toml").unlink()
    with pytest.raises(BadDescription, match=r"mine\.toml beside it"):
        chosen("sface", "embed", path)


def test_a_pinned_file_needs_no_description(tmp_path: Path) -> None:
    """MODEL_PATH may be a file of the manifest; of the other task, the name decides."""
    path = tmp_path / describe("fr_feature").file_name
    path.touch()
    assert "fr_feature" == chosen("sface", "embed", path).name
    assert "yunet" == chosen("yunet", "detect", path).name


def test_what_may_not_be_used_commercially_is_refused(tmp_path: Path, cache_dir: Path) -> None:
    """At the start, before any file is looked for, unless it is accepted by name."""
    with pytest.raises(LicenceNotAccepted, match="ACCEPT_MODEL_LICENCE=insightface-r50"):
        load(tmp_path, cache_dir, embedder="insightface-r50")


def test_thresholds_follow_the_embedder() -> None:
    """Measured ones, rising as false accepts get rarer; none where nobody measured."""
    assert 0.425 == describe("sface").threshold("1e-4")
    assert 0.407 == describe("fr_feature").threshold()
    assert describe("auraface").threshold() is None
    assert {"1e-3": 0.333, "1e-4": 0.407, "1e-5": 0.466} == describe(
        "fr_feature"
    ).thresholds_by_rate
    assert describe("auraface").thresholds_by_rate is None


def test_every_embedder_name_can_name_a_collection() -> None:
    """Names go into URLs and folders."""
    for model in known_models():
        assert model.name.replace("-", "").replace("_", "").isalnum()
    with pytest.raises(UnknownModel):
        describe("yunet", "embed")


def scrfd_outputs(side: int) -> dict[str, NDArray[np.float32]]:
    """One face: 8 units of stride 16 from the anchor at cell (10, 9) to each side."""
    outputs: dict[str, NDArray[np.float32]] = {}
    for stride in (8, 16, 32):
        count = (side // stride) ** 2 * 2
        score = np.zeros((count, 1), np.float32)
        box, points = np.zeros((count, 4), np.float32), np.zeros((count, 10), np.float32)
        if stride == 16:
            anchor = (9 * (side // stride) + 10) * 2 + 1
            score[anchor], box[anchor] = 0.9, (3.0, 4.0, 3.0, 4.0)
            points[anchor] = ((TEMPLATE - 56.0) / 16.0).ravel()
        outputs |= {f"s{stride}": score, f"b{stride}": box, f"k{stride}": points}
    return outputs


def test_scrfd_is_decoded(tmp_path: Path, cache_dir: Path) -> None:
    """Known tensors give the known box and landmarks, in source pixels of a larger picture."""
    path = constant_graph(tmp_path / "scrfd.onnx", scrfd_outputs(320), [1, 3, "height", "width"])
    path.with_suffix(".toml").write_text(SCRFD)
    detector = load_detector(chosen("yunet", "detect", path), path, cache_dir)
    image = np.zeros((640, 640, 3), np.uint8)
    (face,) = detector.look(image, longest_side=320, floor=0.5, cancellation=Cancellation())
    np.testing.assert_allclose(face.bounding_box, (224, 160, 192, 256), atol=1e-3)
    expected = (TEMPLATE - 56.0 + (160, 144)) * 2
    np.testing.assert_allclose(face.landmarks, expected, atol=1e-3)
    assert face.detection_confidence == pytest.approx(0.9)


def test_a_graph_that_is_no_scrfd_is_named(tmp_path: Path, cache_dir: Path) -> None:
    """In place of a box somewhere."""
    outputs = {"s": np.zeros((5, 1), np.float32)}
    path = constant_graph(tmp_path / "odd.onnx", outputs, [1, 3, "height", "width"])
    path.with_suffix(".toml").write_text(SCRFD)
    detector = load_detector(chosen("yunet", "detect", path), path, cache_dir)
    with pytest.raises(InferenceFailed, match="odd failed: outputs .* are not SCRFD's"):
        detector.look(built_in_pixels(), longest_side=320, floor=0.5, cancellation=Cancellation())


NOT_RUN = [model for model in manifest() if model.source.startswith("https:")]


@pytest.mark.parametrize("model", NOT_RUN, ids=lambda model: model.name)
def test_every_model_that_has_to_be_fetched_loads_by_its_entry(
    tmp_path: Path, cache_dir: Path, model: ModelDescription
) -> None:
    """From the file of its name, pinned: a graph of its interface, made here, stands in for the
    weights, which tests cannot fetch."""
    path = tmp_path / model.file_name
    if model.task == "embed":
        embedder_graph(path, model.dimension)
    elif model.task == "assess":
        quality_model(path)
    elif model.family == "scrfd":
        constant_graph(path, scrfd_outputs(320), [1, 3, "height", "width"])
    else:
        shutil.copy(find_weights("yunet"), path)
    content = path.read_bytes()
    pinned = replace(model, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
    crop = np.full((112, 112, 3), 255, np.uint8)
    if pinned.task == "embed":
        embedded = load_embedder(pinned, tmp_path, cache_dir).embed(crop, Cancellation())
        assert (pinned.dimension,) == embedded.vector.shape
    elif pinned.task == "assess":
        answer = load_assessor(pinned, tmp_path, cache_dir).assess(crop, Cancellation())
        assert answer == pytest.approx(1.0)
    else:
        detector = load_detector(pinned, tmp_path, cache_dir)
        found = detector.look(
            built_in_pixels(), longest_side=320, floor=0.5, cancellation=Cancellation()
        )
        assert 1 == len(found)


def agree(one: FacePipeline, other: FacePipeline, picture: bytes) -> float:
    """Cosine of the embeddings that two pipelines make of one picture."""
    first, second = (
        pipeline.score(picture, min_confidence=0.5, max_faces=1).faces[0].embedding
        for pipeline in (one, other)
    )
    return float(first @ second)


@pytest.mark.parametrize("name", ["blazeface-front", "blazeface-back"])
def test_blazeface_finds_what_yunet_finds(
    pipeline: FacePipeline, hopper: bytes, collins: bytes, name: str
) -> None:
    """With the real weights: the same face, and nearly the same crop."""
    cache = npm_weights(name)
    blaze = load_pipeline(detector=name, model_path=None, cache_dir=cache, limits=LIMITS)
    for picture in (hopper, collins):
        ours = pipeline.score(picture, min_confidence=0.7, max_faces=1).faces[0]
        theirs = blaze.score(picture, min_confidence=0.5, max_faces=1).faces[0]
        eyes = np.linalg.norm(ours.landmarks[1] - ours.landmarks[0])
        assert np.abs(ours.landmarks - theirs.landmarks).max() < 0.25 * eyes
        assert agree(pipeline, blaze, picture) > 0.75


def test_real_512_dimensions(hopper: bytes, collins: bytes) -> None:
    """fr_feature: 512 numbers that know two people apart."""
    cache = npm_weights("fr_feature")
    real = load_pipeline(
        embedder="fr_feature",
        model_path=None,
        cache_dir=cache,
        limits=LIMITS,
        accepted_licences=("fr_feature",),
    )
    one, other = (
        real.score(picture, min_confidence=0.7, max_faces=1).faces[0]
        for picture in (hopper, collins)
    )
    assert (512,) == one.embedding.shape
    assert float(one.embedding @ other.embedding) < 0.3
    assert min(one.measures.quality, other.measures.quality) > 0.8


@pytest.mark.parametrize("name", ["yunet", "sface"])
def test_check_proves_that_a_model_works(cache_dir: Path, name: str) -> None:
    """A detector finds the built-in face, an embedder answers with its dimension."""
    checked = check_model(describe(name), None, cache_dir)
    assert ("found" in checked.answer) or ("128 dimensions" == checked.answer)
    assert checked.milliseconds > 0

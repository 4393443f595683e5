"""Loading models of every family, from the manifest and from a user's own files."""

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
def test_a_users_own_embedder_with_512_dimensions(
    tmp_path: Path, cache_dir: Path, hopper: bytes, as_file: bool
) -> None:
    """MODEL_PATH is the file itself, or the folder while the setting has its name."""
    path = own_model(tmp_path)
    pipeline = load(path, cache_dir) if as_file else load(tmp_path, cache_dir, embedder="mine")
    (face,) = pipeline.score(hopper, min_confidence=0.7, max_faces=1).faces
    assert ("mine", 512) == (pipeline.embedder.name, pipeline.embedder.dimension)
    assert (512,) == face.embedding.shape
    assert float(np.linalg.norm(face.embedding)) == pytest.approx(1.0, abs=1e-5)
    assert face.measures.recognisability is None
    assert 0.0 < face.measures.quality < 1.0


def test_a_wrong_described_dimension_is_refused(
    tmp_path: Path, cache_dir: Path, hopper: bytes
) -> None:
    """Before an embedding of the wrong size reaches a collection."""
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
def test_an_invalid_description_is_explained(tmp_path: Path, described: str, told: str) -> None:
    """The error names the file, and the problem in it."""
    own_model(tmp_path, described)
    with pytest.raises(BadDescription, match=told):
        known_models(tmp_path)


def test_a_file_without_a_description_is_refused(tmp_path: Path) -> None:
    """Channel order and scale cannot be guessed; the error says where to describe them."""
    path = own_model(tmp_path)
    path.with_suffix(".toml").unlink()
    with pytest.raises(BadDescription, match=r"mine\.toml beside it"):
        chosen("sface", "embed", path)


def test_a_pinned_file_needs_no_description(tmp_path: Path) -> None:
    """MODEL_PATH may be a file of the manifest; models for other tasks are chosen by name."""
    path = tmp_path / describe("fr_feature").file_name
    path.touch()
    assert "fr_feature" == chosen("sface", "embed", path).name
    assert "yunet" == chosen("yunet", "detect", path).name


def test_a_non_commercial_model_is_refused(tmp_path: Path, cache_dir: Path) -> None:
    """Before any file is searched for, unless it is accepted by name."""
    with pytest.raises(LicenceNotAccepted, match="ACCEPT_MODEL_LICENCE=insightface-r50"):
        load(tmp_path, cache_dir, embedder="insightface-r50")


def test_thresholds_follow_the_embedder() -> None:
    """They rise as false accepts get rarer; an unmeasured embedder has none."""
    assert 0.425 == describe("sface").threshold("1e-4")
    assert 0.407 == describe("fr_feature").threshold()
    assert describe("auraface").threshold() is None
    assert {"1e-3": 0.333, "1e-4": 0.407, "1e-5": 0.466} == describe(
        "fr_feature"
    ).thresholds_by_rate
    assert describe("auraface").thresholds_by_rate is None


def test_every_embedder_name_can_name_a_collection() -> None:
    """Names become part of URLs and folders."""
    for model in known_models():
        assert model.name.replace("-", "").replace("_", "").isalnum()


def scrfd_outputs(side: int) -> dict[str, NDArray[np.float32]]:
    """The outputs for one face, around the anchor at column 10, row 9 of stride 16."""
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
    """Known outputs give the known box and landmarks, in pixels of a larger picture."""
    path = constant_graph(tmp_path / "scrfd.onnx", scrfd_outputs(320), [1, 3, "height", "width"])
    path.with_suffix(".toml").write_text(SCRFD)
    detector = load_detector(chosen("yunet", "detect", path), path, cache_dir)
    image = np.zeros((640, 640, 3), np.uint8)
    (face,) = detector.detect(image, longest_side=320, floor=0.5, cancellation=Cancellation())
    np.testing.assert_allclose(face.bounding_box, (224, 160, 192, 256), atol=1e-3)
    expected = (TEMPLATE - 56.0 + (160, 144)) * 2
    np.testing.assert_allclose(face.landmarks, expected, atol=1e-3)
    assert face.detection_confidence == pytest.approx(0.9)


def test_a_graph_of_another_family_is_refused(tmp_path: Path, cache_dir: Path) -> None:
    """The error names the model and the shapes of its outputs."""
    outputs = {"s": np.zeros((5, 1), np.float32)}
    path = constant_graph(tmp_path / "odd.onnx", outputs, [1, 3, "height", "width"])
    path.with_suffix(".toml").write_text(SCRFD)
    detector = load_detector(chosen("yunet", "detect", path), path, cache_dir)
    with pytest.raises(InferenceFailed, match="odd failed: outputs .* are not SCRFD's"):
        detector.detect(built_in_pixels(), longest_side=320, floor=0.5, cancellation=Cancellation())


NOT_RUN = [model for model in manifest() if model.source.startswith("https:")]


@pytest.mark.parametrize("model", NOT_RUN, ids=lambda model: model.name)
def test_every_fetched_model_loads_by_its_entry(
    tmp_path: Path, cache_dir: Path, model: ModelDescription
) -> None:
    """A generated graph with its interface replaces the weights, which tests cannot fetch."""
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
        found = detector.detect(
            built_in_pixels(), longest_side=320, floor=0.5, cancellation=Cancellation()
        )
        assert 1 == len(found)


def agree(one: FacePipeline, other: FacePipeline, picture: bytes) -> float:
    """Cosine of two pipelines' embeddings of one picture."""
    first, second = (
        pipeline.score(picture, min_confidence=0.5, max_faces=1).faces[0].embedding
        for pipeline in (one, other)
    )
    return float(first @ second)


@pytest.mark.parametrize("name", ["blazeface-front", "blazeface-back"])
def test_blazeface_finds_what_yunet_finds(
    pipeline: FacePipeline, hopper: bytes, collins: bytes, name: str
) -> None:
    """With the real weights: the same face, and a similar crop."""
    cache = npm_weights(name)
    blaze = load_pipeline(detector=name, model_path=None, cache_dir=cache, limits=LIMITS)
    for picture in (hopper, collins):
        ours = pipeline.score(picture, min_confidence=0.7, max_faces=1).faces[0]
        theirs = blaze.score(picture, min_confidence=0.5, max_faces=1).faces[0]
        eyes = np.linalg.norm(ours.landmarks[1] - ours.landmarks[0])
        assert np.abs(ours.landmarks - theirs.landmarks).max() < 0.25 * eyes
        assert agree(pipeline, blaze, picture) > 0.75


def test_real_512_dimensions(hopper: bytes, collins: bytes) -> None:
    """The embeddings of fr_feature distinguish two people."""
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
def test_check_runs_a_model_once(cache_dir: Path, name: str) -> None:
    """A detector finds the built-in face, an embedder returns its dimension."""
    checked = check_model(describe(name), None, cache_dir)
    assert ("found" in checked.answer) or ("128 dimensions" == checked.answer)
    assert checked.milliseconds > 0

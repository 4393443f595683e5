"""A quality model beside the formulas: a small graph with eDifFIQA's interface."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.check import check_model
from models.embedding.alignment import align
from models.errors import InferenceFailed, MissingWeights, UnknownModel
from models.loading import load_pipeline
from models.manifest import describe, known_models
from models.pictures.decoding import DecodeLimits, decode
from models.pipeline import FacePipeline
from tests.models.generated_graphs import quality_model


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A folder with the model ``judge``."""
    quality_model(tmp_path / "judge.onnx")
    return tmp_path


def assessing(weights: Path, cache_dir: Path, assessor: str = "judge") -> FacePipeline:
    return load_pipeline(
        assessor=assessor, model_path=weights, cache_dir=cache_dir, limits=DecodeLimits()
    )


def test_it_rates_the_aligned_crop_and_changes_nothing_else(
    pipeline: FacePipeline, weights: Path, cache_dir: Path, hopper: bytes
) -> None:
    """Its raw output is kept; this graph returns the mean of red, of RGB from -1 to 1."""
    (plain,) = pipeline.score(hopper, min_confidence=0.7, max_faces=1).faces
    scored = assessing(weights, cache_dir).score(hopper, min_confidence=0.7, max_faces=1)
    (face,) = scored.faces
    crop = align(decode(hopper, DecodeLimits()), face.landmarks)
    red = float((crop[:, :, 2].astype(np.float64) / 127.5 - 1).mean())
    assert face.measures.learned_quality == pytest.approx(red, abs=1e-5)
    assert plain.measures.learned_quality is None
    assert plain.measures == replace(face.measures, learned_quality=None)
    assert "assess" in scored.timings_ms


def test_the_pipeline_describes_it(pipeline: FacePipeline, weights: Path, cache_dir: Path) -> None:
    """With the SHA-256 of its file; None without such a model."""
    assessor = assessing(weights, cache_dir).assessor
    assert assessor is not None
    assert ("judge", 64) == (assessor.name, len(assessor.sha256))
    assert pipeline.assessor is None


def test_several_output_values_are_a_failed_inference(
    tmp_path: Path, cache_dir: Path, hopper: bytes
) -> None:
    """For instance when the model is an embedder."""
    quality_model(tmp_path / "judge.onnx", answers=5)
    with pytest.raises(InferenceFailed, match="judge failed: 5 values, not one finite number"):
        assessing(tmp_path, cache_dir).score(hopper, min_confidence=0.7, max_faces=1)


def test_check_model_rates_a_grey_square(weights: Path, cache_dir: Path) -> None:
    """Grey is 0 on its scale, the dark square in the middle is not."""
    judge = next(model for model in known_models(weights) if model.name == "judge")
    checked = check_model(judge, weights, cache_dir)
    grey, dark, share = 128 / 127.5 - 1, 40 / 127.5 - 1, (50 / 112) ** 2
    assert f"a quality of {grey * (1 - share) + dark * share:.2f}" in checked.answer


def test_the_entry_of_ediffiqa_follows_its_publisher(tmp_path: Path, cache_dir: Path) -> None:
    """Aligned crop, RGB, (x / 255 - 0.5) / 0.5; it must be fetched, and is only an assessor."""
    model = describe("ediffiqa", "assess")
    assert ("rgb", 127.5, 127.5, (112, 112)) == (
        model.channels,
        model.mean,
        model.scale,
        model.input_size,
    )
    assert ("CC-BY-4.0", True) == (model.licence, model.commercial_use)
    with pytest.raises(MissingWeights, match="models fetch ediffiqa"):
        assessing(tmp_path, tmp_path / "cache", assessor="ediffiqa")
    with pytest.raises(UnknownModel, match="Known: ediffiqa"):
        assessing(tmp_path, cache_dir, assessor="sface")

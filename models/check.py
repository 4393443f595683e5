"""Check one model: its hash, its graph, and one real inference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from models.built_in_picture import built_in_pixels
from models.detection.face_search import FaceSearch
from models.embedding.alignment import CROP_SIZE
from models.loading import load_assessor, load_detector, load_embedder
from models.manifest import ModelDescription
from models.session import Cancellation


@dataclass(frozen=True)
class CheckedModel:
    """A model that passed; ``answer`` describes for people what the inference returned."""

    model: ModelDescription
    answer: str
    milliseconds: float


def check_model(model: ModelDescription, model_path: Path | None, cache_dir: Path) -> CheckedModel:
    """Load a model and run it once.

    A detector must find the face of the built-in portrait, an embedder must return a vector of
    its dimension, an assessor one finite number. Raises ``MissingWeights``, ``CorruptWeights``,
    ``NoFaceFound``, ``LowConfidence`` or ``InferenceFailed``.
    """
    if model.task == "detect":
        search = FaceSearch(load_detector(model, model_path, cache_dir))
        pixels = built_in_pixels()
        return _timed(model, lambda: _found_face(search, pixels))
    crop = _grey_crop()
    if model.task == "assess":
        assessor = load_assessor(model, model_path, cache_dir)
        return _timed(
            model,
            lambda: f"a quality of {assessor.assess(crop, Cancellation()):.2f} for a grey square",
        )
    embedder = load_embedder(model, model_path, cache_dir)
    return _timed(model, lambda: f"{embedder.embed(crop, Cancellation()).vector.size} dimensions")


def _timed(model: ModelDescription, infer: Callable[[], str]) -> CheckedModel:
    started = perf_counter()
    answer = infer()
    return CheckedModel(model, answer, (perf_counter() - started) * 1000.0)


def _found_face(search: FaceSearch, pixels: NDArray[np.uint8]) -> str:
    (face,) = search.faces(pixels, min_confidence=0.5, max_faces=1, cancellation=Cancellation())
    return f"the built-in face found with {face.detection_confidence:.2f}"


def _grey_crop() -> NDArray[np.uint8]:
    """Draw a dark square on grey, because a flat crop has no edges: (112, 112, 3) uint8."""
    crop = np.full((CROP_SIZE, CROP_SIZE, 3), 128, dtype=np.uint8)
    crop[30:80, 30:80] = 40
    return crop

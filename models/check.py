"""Proof that one model works: its hash, its graph, and one real inference."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from models.built_in_picture import built_in_pixels
from models.detection.face_search import FaceSearch
from models.embedding.alignment import CROP_SIZE
from models.loading import load_assessor, load_detector, load_embedder
from models.manifest import ModelDescription
from models.session import Cancellation


@dataclass(frozen=True)
class CheckedModel:
    """`answer`: what the inference gave, for people."""

    model: ModelDescription
    answer: str
    milliseconds: float


def check_model(model: ModelDescription, model_path: Path | None, cache_dir: Path) -> CheckedModel:
    """A detector must find the built-in portrait, an embedder answer with its dimension, an
    assessor with one finite number.

    Raises MissingWeights, CorruptWeights, NoFaceFound, LowConfidence or InferenceFailed.
    """
    if model.task == "detect":
        search = FaceSearch(load_detector(model, model_path, cache_dir))
        pixels = built_in_pixels()
        started = perf_counter()
        (face,) = search.faces(pixels, min_confidence=0.5, max_faces=1, cancellation=Cancellation())
        spent = (perf_counter() - started) * 1000.0
        answer = f"the built-in face found with {face.detection_confidence:.2f}"
        return CheckedModel(model, answer, spent)
    crop = np.full((CROP_SIZE, CROP_SIZE, 3), 128, dtype=np.uint8)
    crop[30:80, 30:80] = 40
    if model.task == "assess":
        assessor = load_assessor(model, model_path, cache_dir)
        started = perf_counter()
        quality = assessor.assess(crop, Cancellation())
        spent = (perf_counter() - started) * 1000.0
        return CheckedModel(model, f"a quality of {quality:.2f} for a grey square", spent)
    embedder = load_embedder(model, model_path, cache_dir)
    started = perf_counter()
    embedding = embedder.embed(crop, Cancellation())
    spent = (perf_counter() - started) * 1000.0
    return CheckedModel(model, f"{embedding.vector.size} dimensions", spent)

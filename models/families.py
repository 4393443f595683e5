"""From a description and its weights to a detector, embedder or assessor that works."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from models.blazeface import BlazeFaceDetector
from models.detection import FaceDetector
from models.embedding import AlignedCropEmbedder, FaceEmbedder
from models.learned_quality import CropQualityAssessor, QualityAssessor
from models.manifest import ModelDescription
from models.preparation import prepared_graph
from models.scrfd import ScrfdDetector
from models.session import OnnxSession, Session
from models.weights import find_weights
from models.yunet import YuNetDetector

DETECTORS: dict[str, Callable[[Session, ModelDescription], FaceDetector]] = {
    "yunet": YuNetDetector,
    "blazeface": BlazeFaceDetector,
    "scrfd": ScrfdDetector,
}
EMBEDDERS: dict[str, Callable[[Session, ModelDescription], FaceEmbedder]] = {
    "aligned_crop": AlignedCropEmbedder,
}
ASSESSORS: dict[str, Callable[[Session, ModelDescription], QualityAssessor]] = {
    "crop_quality": CropQualityAssessor,
}


def load_detector(
    description: ModelDescription, model_path: Path | None, cache_dir: Path
) -> FaceDetector:
    """Raises MissingWeights, CorruptWeights or InferenceFailed."""
    session = load_session(description, model_path, cache_dir)
    return DETECTORS[description.family](session, description)


def load_embedder(
    description: ModelDescription, model_path: Path | None, cache_dir: Path
) -> FaceEmbedder:
    """Raises MissingWeights, CorruptWeights or InferenceFailed."""
    session = load_session(description, model_path, cache_dir)
    return EMBEDDERS[description.family](session, description)


def load_assessor(
    description: ModelDescription, model_path: Path | None, cache_dir: Path
) -> QualityAssessor:
    """Raises MissingWeights, CorruptWeights or InferenceFailed."""
    session = load_session(description, model_path, cache_dir)
    return ASSESSORS[description.family](session, description)


def load_session(
    description: ModelDescription, model_path: Path | None, cache_dir: Path
) -> OnnxSession:
    """The prepared graph of a model, loaded. Raises as the others."""
    weights = find_weights(description, model_path, cache_dir)
    return OnnxSession(description.name, prepared_graph(description, weights, cache_dir))

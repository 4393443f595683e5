"""From a description and its weights to a detector, embedder or assessor that works."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from models.detection.blazeface import BlazeFaceDetector
from models.detection.detector import FaceDetector
from models.detection.scrfd import ScrfdDetector
from models.detection.yunet import YuNetDetector
from models.embedding.embedder import AlignedCropEmbedder, FaceEmbedder
from models.graphs.preparation import prepared_graph
from models.manifest import ModelDescription
from models.quality.learned_quality import CropQualityAssessor, QualityAssessor
from models.session import OnnxSession, Session
from models.weights import find_weights

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

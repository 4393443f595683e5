"""Load models: from a description and its weight file to a detector, embedder or assessor."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import cv2

from models.detection.blazeface import BlazeFaceDetector
from models.detection.detector import FaceDetector
from models.detection.scrfd import ScrfdDetector
from models.detection.yunet import YuNetDetector
from models.embedding.embedder import AlignedCropEmbedder, FaceEmbedder
from models.graphs.preparation import prepared_graph
from models.manifest import ModelDescription, check_licence, chosen
from models.pictures.decoding import DecodeLimits
from models.pipeline import FacePipeline
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


def load_pipeline(
    *,
    detector: str = "yunet",
    embedder: str = "sface",
    assessor: str | None = None,
    model_path: Path | None,
    cache_dir: Path,
    limits: DecodeLimits,
    accepted_licences: Collection[str] = (),
) -> FacePipeline:
    """Load the pipeline of two or three models; its first inference is still slow.

    ``detector``, ``embedder``, ``assessor``: names in the manifest, or of described files in
    ``model_path``. ``model_path``: a folder that is searched for weight files first, or one file,
    which is used for its own task (as assessor only when one is asked for) while the other models
    are chosen by name. ``cache_dir``: the folder of prepared graphs and fetched weights.
    ``accepted_licences``: names of models to use although their licence forbids commercial use.

    Raises ``UnknownModel``, ``BadDescription``, ``LicenceNotAccepted``, ``MissingWeights``,
    ``CorruptWeights`` or ``InferenceFailed``.
    """
    # The caller scores pictures in parallel threads; threads within one picture only compete.
    cv2.setNumThreads(1)
    detecting = chosen(detector, "detect", model_path)
    embedding = chosen(embedder, "embed", model_path)
    assessing = None if assessor is None else chosen(assessor, "assess", model_path)
    for model in (detecting, embedding, assessing):
        if model is not None:
            check_licence(model, accepted_licences)
    return FacePipeline(
        face_detector=load_detector(detecting, model_path, cache_dir),
        face_embedder=load_embedder(embedding, model_path, cache_dir),
        limits=limits,
        quality_assessor=(
            None if assessing is None else load_assessor(assessing, model_path, cache_dir)
        ),
    )


def load_detector(
    description: ModelDescription, model_path: Path | None, cache_dir: Path
) -> FaceDetector:
    """Load a detector. Raises ``MissingWeights``, ``CorruptWeights`` or ``InferenceFailed``."""
    session = load_session(description, model_path, cache_dir)
    return DETECTORS[description.family](session, description)


def load_embedder(
    description: ModelDescription, model_path: Path | None, cache_dir: Path
) -> FaceEmbedder:
    """Load an embedder. Raises ``MissingWeights``, ``CorruptWeights`` or ``InferenceFailed``."""
    session = load_session(description, model_path, cache_dir)
    return EMBEDDERS[description.family](session, description)


def load_assessor(
    description: ModelDescription, model_path: Path | None, cache_dir: Path
) -> QualityAssessor:
    """Load an assessor. Raises ``MissingWeights``, ``CorruptWeights`` or ``InferenceFailed``."""
    session = load_session(description, model_path, cache_dir)
    return ASSESSORS[description.family](session, description)


def load_session(
    description: ModelDescription, model_path: Path | None, cache_dir: Path
) -> OnnxSession:
    """Load the prepared graph of a model. Raises the errors of ``load_detector``."""
    weights = find_weights(description, model_path, cache_dir)
    return OnnxSession(description.name, prepared_graph(description, weights, cache_dir))

"""Loads the models that the settings name."""

from __future__ import annotations

from models.loading import load_pipeline
from models.pictures.decoding import DecodeLimits
from models.pipeline import FacePipeline
from streams.config.settings import Settings


def load_models(settings: Settings) -> FacePipeline:
    """Return the pipeline that the settings name, not warmed up. Raises ``ModelsError``."""
    return load_pipeline(
        detector=settings.face_detector,
        embedder=settings.face_embedder,
        assessor=settings.face_quality,
        model_path=settings.model_path,
        cache_dir=settings.model_cache,
        accepted_licences=settings.accept_model_licence,
        limits=DecodeLimits(
            max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels
        ),
    )

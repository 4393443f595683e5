"""The app with models that fail while a file exists: ``-A tests.failing_app``."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from models.errors import InferenceFailed
from models.pipeline import FacePipeline, ScoredImage
from streams.app import app
from streams.inference.model_loading import load_models

__all__ = ["app"]

#: The name of the file, in the folder that holds the index.
MODELS_FAIL = "models-fail"


class FailingPipeline(FacePipeline):
    """The real pipeline, which fails while the file exists."""

    def score(self, image: bytes, **options: Any) -> ScoredImage:
        """Score the picture, or fail."""
        if (app.settings.qdrant_path.parent / MODELS_FAIL).exists():
            raise InferenceFailed("tests", "failed by the test")
        return super().score(image, **options)


def load_failing_models() -> FacePipeline:
    """Return the models of the settings as a failing pipeline."""
    real = load_models(app.settings)
    return FailingPipeline(**{one.name: getattr(real, one.name) for one in fields(real)})


app.runtime.pool._load = load_failing_models

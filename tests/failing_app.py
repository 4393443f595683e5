"""The app with models that fail for as long as a file is there: ``-A tests.failing_app``."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from models.errors import InferenceFailed
from models.pipeline import FacePipeline, ScoredImage
from streams.app import app
from streams.inference.model_loading import load_models

__all__ = ["app"]

#: Beside the index, in the folder of the test.
MODELS_FAIL = "models-fail"


class FailingPipeline(FacePipeline):
    """The real pipeline, unless the file is there."""

    def score(self, image: bytes, **options: Any) -> ScoredImage:
        """Fail, or score."""
        if (app.settings.qdrant_path.parent / MODELS_FAIL).exists():
            raise InferenceFailed("tests", "made to fail")
        return super().score(image, **options)


def load_failing_models() -> FacePipeline:
    """The models of the settings, made to fail."""
    real = load_models(app.settings)
    return FailingPipeline(**{one.name: getattr(real, one.name) for one in fields(real)})


app.runtime.pool._load = load_failing_models

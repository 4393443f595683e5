"""The real models, watched."""

from __future__ import annotations

import pytest

from models.pipeline import FacePipeline
from tests.streams.inference.watched_pipeline import WatchedPipeline


@pytest.fixture
def watched(pipeline: FacePipeline) -> WatchedPipeline:
    """The real models in a ``WatchedPipeline``."""
    return WatchedPipeline(pipeline.face_detector, pipeline.face_embedder, pipeline.limits)

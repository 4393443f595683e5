"""The real models, loaded once for all tests of this folder."""

from __future__ import annotations

import pytest

from models.pipeline import FacePipeline
from tools.fuzz.handler import loaded_pipeline


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> FacePipeline:
    """The models of the default settings."""
    return loaded_pipeline(tmp_path_factory.mktemp("prepared"))

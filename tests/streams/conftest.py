"""Fixtures for all packages: the real models, and an environment without settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.pipeline import FacePipeline
from streams.config.settings import Settings, load_settings
from streams.inference.model_loading import load_models


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> FacePipeline:
    """The real models, loaded and warm."""
    loaded = load_models(load_settings(model_cache=tmp_path_factory.mktemp("prepared")))
    loaded.warm_up()
    return loaded


@pytest.fixture
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Unset every setting, and change to a folder without an ``.env`` file."""
    for name in (*Settings.model_fields, "env_file"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)

"""The app with models that hang until cancelled: ``-A tests.hanging_app``."""

from __future__ import annotations

import threading
from typing import Any

import streams.runtime
from models.pipeline import FacePipeline
from models.session import Cancellation
from streams.app import app
from streams.config.settings import Settings
from streams.inference.model_loading import load_models

__all__ = ["app"]


class HangingPipeline(FacePipeline):
    """The real models, whose inferences end only when they are cancelled."""

    def warm_up(self) -> None:
        """Do nothing, as the models would hang."""

    def detect(self, *_: Any, cancellation: Cancellation | None = None, **__: Any) -> Any:
        """Wait until cancelled."""
        return _hang(cancellation)

    def score(self, *_: Any, cancellation: Cancellation | None = None, **__: Any) -> Any:
        """Wait until cancelled."""
        return _hang(cancellation)

    def embed_aligned(self, *_: Any, cancellation: Cancellation | None = None, **__: Any) -> Any:
        """Wait until cancelled."""
        return _hang(cancellation)

    def check(self, cancellation: Cancellation | None = None) -> None:
        """Wait until cancelled."""
        _hang(cancellation)


def _hang(cancellation: Cancellation | None) -> None:
    while True:
        if cancellation is not None:
            cancellation.raise_if_cancelled()
        threading.Event().wait(0.01)


def _load(settings: Settings) -> FacePipeline:
    real = load_models(settings)
    return HangingPipeline(real.face_detector, real.face_embedder, real.limits)


streams.runtime.load_models = _load  # type: ignore[attr-defined]

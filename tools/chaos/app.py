"""The worker of the chaos suite: ``faust -A tools.chaos.app worker``.

The app, agents and settings are those of production; only the scorer is replaced, before the
agents are imported. ``CHAOS_SCORER`` selects it: ``real``, ``random`` or ``instant``.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from models.pipeline import FacePipeline
from streams.app import app
from streams.inference.model_loading import load_models
from streams.inference.pool import InferencePool
from tools.chaos.pipelines import random_delays, with_trouble

__all__ = ["app"]

_SCORERS: dict[str, Callable[[], FacePipeline]] = {
    "real": lambda: with_trouble(load_models(app.settings)),
    "random": random_delays,
    "instant": lambda: random_delays(fast_s=0, slow_s=0),
}

app.runtime.pool = InferencePool(
    _SCORERS[os.environ["CHAOS_SCORER"]],
    threads=app.settings.threads,
    timeout_s=app.settings.ml_service_timeout / 1000,
)

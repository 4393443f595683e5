"""Settings of the models: which ones, where their weights are, how long they may take."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field

from streams.config.section import HomePath, Names, Section


class ModelSettings(Section):
    """Models, the threads that run them, and the attempts at scoring one event."""

    face_detector: str = Field("yunet", description="Name of the detector (`models list`).")
    face_embedder: str = Field("sface", description="Name of the embedder (`models list`).")
    face_quality: str | None = Field(
        None,
        min_length=1,
        description="Name of the model that computes `measures.learned_quality` "
        "(`models list`). Unset: none.",
    )
    model_path: HomePath | None = Field(
        None,
        description="Folder with weight files, searched before the installed packages; or one "
        "weight file, which replaces the detector or the embedder.",
    )
    model_cache: HomePath = Field(
        Path("~/.cache/facestream/models"),
        description="Folder for prepared graphs and downloaded weights.",
    )
    accept_model_licence: Names = Field(
        (),
        description="Names of models, separated by commas, that may be used although their "
        "licence forbids commercial use.",
    )
    inference_threads: int | None = Field(
        None, ge=1, le=256, description="Threads that score pictures. Unset: one per core."
    )
    ml_service_timeout: int = Field(
        5000,
        ge=50,
        description="Time limit of one attempt at fetching or scoring, in milliseconds.",
    )
    ml_attempts: int = Field(
        3,
        ge=1,
        le=10,
        description="Attempts at an event whose failure may be temporary, before it falls back.",
    )
    ml_backoff_ms: int = Field(
        1000,
        ge=0,
        description="Wait before the second attempt, in milliseconds. Each further wait is longer.",
    )

    @property
    def threads(self) -> int:
        """Threads that score pictures: the setting, or the cores that this process may use."""
        if self.inference_threads:
            return self.inference_threads
        if hasattr(os, "sched_getaffinity"):
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1

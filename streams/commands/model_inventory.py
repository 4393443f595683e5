"""The known models, which of them are in use, and the state of their weight files."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from models.errors import CorruptWeights, MissingWeights, UnknownModel
from models.manifest import ModelDescription, chosen, known_models
from models.weights import find_weights
from streams.config.model_settings import ModelSettings


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A known model and its weight file.

    ``path`` is None when the file is missing; ``problem`` says what is wrong with it.
    """

    model: ModelDescription
    in_use: bool
    weights: Literal["present", "missing", "corrupt"]
    path: Path | None = None
    problem: str | None = None

    def as_json(self) -> dict[str, str | int | bool | None]:
        """Return the values that ``models list --json`` prints; None where a model has none."""
        model = self.model
        return {
            "name": model.name,
            "task": model.task,
            "bytes": model.bytes,
            "dimension": model.dimension or None,
            "licence": model.licence,
            "commercial_use": model.commercial_use,
            "measured": model.measured or None,
            "in_use": self.in_use,
            "weights": self.weights,
            "path": None if self.path is None else str(self.path),
            "problem": self.problem,
            "sha256": model.sha256,
            "source": model.source,
        }


def models_in_use(settings: ModelSettings) -> list[ModelDescription]:
    """Return the detector, the embedder, and the quality model if one is set.

    Raises ``BadDescription`` or ``UnknownModel``.
    """
    path = settings.model_path
    in_use = [
        chosen(settings.face_detector, "detect", path),
        chosen(settings.face_embedder, "embed", path),
    ]
    if settings.face_quality is not None:
        in_use.append(chosen(settings.face_quality, "assess", path))
    return in_use


def unknown_name(settings: ModelSettings) -> UnknownModel | None:
    """Return the error for a setting that names an unknown model, or None."""
    try:
        models_in_use(settings)
    except UnknownModel as error:
        return error
    return None


def list_models(settings: ModelSettings) -> list[ListedModel]:
    """Return every known model, its weight file checked by SHA-256. Raises ``BadDescription``.

    When a setting names an unknown model, no model is marked as in use. The list is still complete,
    because users look up the right name in it.
    """
    in_use: set[str] = set()
    with suppress(UnknownModel):
        in_use = {model.name for model in models_in_use(settings)}
    return [
        _listed(model, model.name in in_use, settings)
        for model in known_models(settings.model_path)
    ]


def _listed(model: ModelDescription, in_use: bool, settings: ModelSettings) -> ListedModel:
    try:
        path = find_weights(model, settings.model_path, settings.model_cache)
    except MissingWeights:
        return ListedModel(model, in_use, "missing")
    except CorruptWeights as error:
        return ListedModel(model, in_use, "corrupt", error.path, str(error))
    return ListedModel(model, in_use, "present", path)

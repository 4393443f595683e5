"""The known models: those of ``manifest.toml``, and a user's own files with a description."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Collection
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from models.errors import BadDescription, LicenceNotAccepted, UnknownModel

Task = Literal["detect", "embed", "assess"]

FAMILIES: dict[str, Task] = {
    "yunet": "detect",
    "blazeface": "detect",
    "scrfd": "detect",
    "aligned_crop": "embed",
    "crop_quality": "assess",
}
"""The task of each family in ``manifest.toml``."""

FALSE_ACCEPT_RATES = ("1e-3", "1e-4", "1e-5")


@dataclass(frozen=True)
class ModelDescription:
    """One entry of ``manifest.toml``, which explains every field."""

    name: str
    task: Task
    family: str
    source: str
    sha256: str
    bytes: int
    licence: str
    origin: str
    input_size: tuple[int, int]
    channels: Literal["bgr", "rgb"]
    mean: float
    scale: float
    dimension: int = 0
    commercial_use: bool = True
    archive_sha256: str = ""
    archive_bytes: int = 0
    certain: float = 0.915
    norm_range: tuple[float, float] | None = None
    thresholds: tuple[float, float, float] | None = None
    measured: str = ""

    @property
    def file_name(self) -> str:
        """The name of the weight file, in every place where it may be."""
        return re.split("[/#:]", self.source)[-1]

    @property
    def thresholds_by_rate(self) -> dict[str, float] | None:
        """The similarity threshold of each false accept rate; None when not measured."""
        if self.thresholds is None:
            return None
        return dict(zip(FALSE_ACCEPT_RATES, self.thresholds, strict=True))

    def threshold(self, false_accept_rate: str = "1e-4") -> float | None:
        """Return the cosine similarity from which two faces count as one person.

        ``false_accept_rate``: the share of pairs of different people that reach it, "1e-3",
        "1e-4" or "1e-5". Returns None when not measured.
        """
        if self.thresholds is None:
            return None
        return self.thresholds[FALSE_ACCEPT_RATES.index(false_accept_rate)]


@cache
def manifest() -> tuple[ModelDescription, ...]:
    """Return every pinned model, in the order of ``manifest.toml``."""
    text = resources.files("models").joinpath("manifest.toml").read_text(encoding="utf-8")
    return tuple(_description(entry) for entry in tomllib.loads(text)["model"])


def known_models(model_path: Path | None = None) -> tuple[ModelDescription, ...]:
    """List the user's own models in ``model_path``, then those of the manifest with other names.

    A user's own model is a file ``<name>.onnx`` with a ``<name>.toml`` beside it, which has the
    fields of a manifest entry; name, sha256 and bytes default to those of the file.
    ``model_path`` is a folder of such files, or one of them. Raises ``BadDescription``.
    """
    if model_path is None:
        return manifest()
    files = [model_path] if model_path.is_file() else sorted(model_path.glob("*.onnx"))
    own = [_own(path) for path in files if path.with_suffix(".toml").is_file()]
    names = {model.name for model in own}
    return (*own, *(model for model in manifest() if model.name not in names))


def describe(
    name: str, task: Task | None = None, model_path: Path | None = None
) -> ModelDescription:
    """Return the description of the model ``name``.

    Raises ``BadDescription``, or ``UnknownModel``, also when the model is for another task.
    """
    candidates = [model for model in known_models(model_path) if task in (None, model.task)]
    for model in candidates:
        if model.name == name:
            return model
    raise UnknownModel(name, tuple(model.name for model in candidates))


def chosen(name: str, task: Task, model_path: Path | None) -> ModelDescription:
    """Choose the model to use: the file ``model_path`` when it is for this task, else ``name``.

    Raises ``BadDescription`` for a file that is neither pinned nor described, or
    ``UnknownModel``.
    """
    if model_path is not None and model_path.is_file():
        described = _of_file(model_path)
        if described.task == task:
            return described
    return describe(name, task, model_path)


def check_licence(model: ModelDescription, accepted: Collection[str]) -> None:
    """Raise ``LicenceNotAccepted`` for a non-commercial model not among the ``accepted`` names."""
    if not model.commercial_use and model.name not in accepted:
        raise LicenceNotAccepted(model.name, model.licence)


def _of_file(path: Path) -> ModelDescription:
    if path.with_suffix(".toml").is_file():
        return _own(path)
    for model in manifest():
        if model.file_name == path.name:
            return model
    raise BadDescription(
        path,
        f"it is not in the manifest; describe it in {path.with_suffix('.toml').name} beside it"
        " (docs/models.md)",
    )


def _own(path: Path) -> ModelDescription:
    described = path.with_suffix(".toml")
    try:
        entry = tomllib.loads(described.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadDescription(described, str(error)) from error
    content = path.read_bytes()
    given = {
        "name": path.stem,
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "licence": "not stated",
        "origin": f"the file {path.name}",
        **entry,
        "source": f"file:{path.name}",
    }
    known = {field.name for field in fields(ModelDescription)}
    if unknown := sorted(set(given) - known):
        raise BadDescription(described, f"unknown fields {', '.join(unknown)}")
    try:
        model = _description(given)
    except TypeError as error:
        missing = str(error).partition("argument")[2].lstrip("s: ")
        raise BadDescription(described, f"missing fields {missing}") from error
    _check(described, model)
    return model


def _check(described: Path, model: ModelDescription) -> None:
    if FAMILIES.get(model.family) != model.task:
        pairs = ", ".join(f"{family} ({task})" for family, task in FAMILIES.items())
        found = f"family {model.family!r} with task {model.task!r}"
        raise BadDescription(described, f"{found}; expected one of {pairs}")
    if model.channels not in ("bgr", "rgb"):
        raise BadDescription(described, f'channels {model.channels!r}: expected "bgr" or "rgb"')
    pairs_of_numbers = [model.input_size, model.norm_range or (0.0, 1.0)]
    if model.scale == 0 or any(len(pair) != 2 for pair in pairs_of_numbers):
        raise BadDescription(
            described, "scale must not be 0; input_size and norm_range must have 2 numbers"
        )
    if (model.dimension > 0) != (model.task == "embed"):
        raise BadDescription(
            described, "dimension: must be at least 1 for an embedder, else absent"
        )


def _description(entry: dict[str, Any]) -> ModelDescription:
    # TOML has lists, the description has tuples.
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()
    }
    return ModelDescription(**values)

"""The manifest of pinned model files, and where their bytes are on this machine."""

from __future__ import annotations

import hashlib
import importlib.util
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from models.errors import CorruptWeights, MissingWeights, UnknownModel

Task = Literal["detect", "embed"]


@dataclass(frozen=True)
class ModelDescription:
    """One entry of `manifest.toml`, where every field is explained."""

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
    dimension: int
    norm_range: tuple[float, float] = (0.0, 1.0)

    @property
    def file_name(self) -> str:
        return self.source.rsplit("/", 1)[-1]


@cache
def manifest() -> tuple[ModelDescription, ...]:
    """Every model we know, in the manifest's order."""
    text = resources.files("models").joinpath("manifest.toml").read_text(encoding="utf-8")
    return tuple(_description(entry) for entry in tomllib.loads(text)["model"])


def describe(name: str, task: Task | None = None) -> ModelDescription:
    """The manifest's entry for `name`. Raises UnknownModel, also when its task is another one."""
    candidates = [model for model in manifest() if task in (None, model.task)]
    for model in candidates:
        if model.name == name:
            return model
    raise UnknownModel(name, tuple(model.name for model in candidates))


def find_weights(name: str, model_path: Path | None = None) -> Path:
    """The verified weight file of a model: from `model_path` (a folder), else from its package.

    Raises UnknownModel, MissingWeights, or CorruptWeights when size or sha256 are not the pinned
    ones. A wrong file in `model_path` is an error, not a reason to look further.
    """
    description = describe(name)
    looked_in: list[str] = []
    for folder, label in _places(description, model_path):
        looked_in.append(label)
        if folder is not None and (folder / description.file_name).is_file():
            path = folder / description.file_name
            verify_weights(path, description)
            return path
    raise MissingWeights(name, description.file_name, tuple(looked_in))


def verify_weights(path: Path, description: ModelDescription) -> None:
    """Raises CorruptWeights unless the file is byte for byte the pinned one."""
    size = path.stat().st_size
    if size != description.bytes:
        raise CorruptWeights(path, f"{description.bytes} bytes", f"{size} bytes")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != description.sha256:
        raise CorruptWeights(path, f"sha256 {description.sha256}", f"sha256 {digest}")


def _places(
    description: ModelDescription, model_path: Path | None
) -> list[tuple[Path | None, str]]:
    places: list[tuple[Path | None, str]] = []
    if model_path is not None:
        places.append((model_path, str(model_path)))
    kind, _, location = description.source.partition(":")
    if kind == "package":
        package, _, inside = location.partition("/")
        root = _package_folder(package)
        folder = None if root is None else (root / inside).parent
        places.append((folder, f"the Python package {package}"))
    return places


def _package_folder(package: str) -> Path | None:
    # find_spec locates a top-level package without running any of its code.
    spec = importlib.util.find_spec(package)
    locations = spec.submodule_search_locations if spec is not None else None
    return Path(locations[0]) if locations else None


def _description(entry: dict[str, Any]) -> ModelDescription:
    # TOML has lists where the description has pairs.
    fields: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()
    }
    return ModelDescription(**fields)

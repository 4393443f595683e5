"""The models we know: `manifest.toml`, and the user's own files with a description beside them."""

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
"""Which task each family of `manifest.toml` has."""

FALSE_ACCEPT_RATES = ("1e-3", "1e-4", "1e-5")


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
        """Of its weights, wherever they lie."""
        return re.split("[/#:]", self.source)[-1]

    @property
    def thresholds_by_rate(self) -> dict[str, float] | None:
        """All of them, by false accept rate; None where nobody measured them."""
        if self.thresholds is None:
            return None
        return dict(zip(FALSE_ACCEPT_RATES, self.thresholds, strict=True))

    def threshold(self, false_accept_rate: str = "1e-4") -> float | None:
        """The cosine from which two faces count as one person, by the share of pairs of two
        people that reach it ("1e-3", "1e-4" or "1e-5"); None where nobody measured it."""
        if self.thresholds is None:
            return None
        return self.thresholds[FALSE_ACCEPT_RATES.index(false_accept_rate)]


@cache
def manifest() -> tuple[ModelDescription, ...]:
    """Every model that we pin, in the manifest's order."""
    text = resources.files("models").joinpath("manifest.toml").read_text(encoding="utf-8")
    return tuple(_description(entry) for entry in tomllib.loads(text)["model"])


def known_models(model_path: Path | None = None) -> tuple[ModelDescription, ...]:
    """The manifest's models, and those that lie described in `model_path`.

    An own model is a file `<name>.onnx` with a `<name>.toml` beside it, which has the fields of a
    manifest entry; name, source, sha256 and bytes follow from the file where they are not given.
    `model_path` is a folder of them, or one such file. Raises BadDescription.
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
    """What is known of the model `name`.

    Raises BadDescription, or UnknownModel, also when its task is another one.
    """
    candidates = [model for model in known_models(model_path) if task in (None, model.task)]
    for model in candidates:
        if model.name == name:
            return model
    raise UnknownModel(name, tuple(model.name for model in candidates))


def chosen(name: str, task: Task, model_path: Path | None) -> ModelDescription:
    """The model to use: the file that `model_path` is, where it has this task, else `name`.

    Raises BadDescription for a file that is neither pinned nor described, and UnknownModel.
    """
    if model_path is not None and model_path.is_file():
        described = _of_file(model_path)
        if described.task == task:
            return described
    return describe(name, task, model_path)


def check_licence(model: ModelDescription, accepted: Collection[str]) -> None:
    """Raises LicenceNotAccepted for a model that may not be used commercially, unless its name is
    among the `accepted`."""
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
        f"it is no file of the manifest; describe it in {path.with_suffix('.toml').name} beside it"
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
        raise BadDescription(described, f"{found}; there are {pairs}")
    if model.channels not in ("bgr", "rgb"):
        raise BadDescription(described, f'channels {model.channels!r}: expected "bgr" or "rgb"')
    pairs_of_numbers = [model.input_size, model.norm_range or (0.0, 1.0)]
    if model.scale == 0 or any(len(pair) != 2 for pair in pairs_of_numbers):
        raise BadDescription(described, "scale is not 0; input_size and norm_range have 2 numbers")
    if (model.dimension > 0) != (model.task == "embed"):
        raise BadDescription(described, "dimension: only an embedder has one, at least 1")


def _description(entry: dict[str, Any]) -> ModelDescription:
    # TOML has lists where the description has pairs.
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()
    }
    return ModelDescription(**values)

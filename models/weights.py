"""Find a model's weight file on this machine, and verify that it is the pinned one."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from models.errors import CorruptWeights, MissingWeights
from models.manifest import ModelDescription, describe


def fetched_folder(cache_dir: Path) -> Path:
    """Return the folder where ``facestream models fetch`` stores weight files."""
    return cache_dir / "fetched"


def find_weights(
    model: str | ModelDescription, model_path: Path | None = None, cache_dir: Path | None = None
) -> Path:
    """Find and verify the weight file of a model.

    Searches ``model_path`` (a folder, or the file itself), then the model's package, then the
    fetched files in ``cache_dir``. The first file found must have the pinned size and SHA-256: a
    wrong one is an error, and ends the search. Raises ``UnknownModel``, ``MissingWeights`` or
    ``CorruptWeights``.
    """
    description = describe(model) if isinstance(model, str) else model
    looked_in: list[str] = []
    for path, label in _places(description, model_path, cache_dir):
        looked_in.append(label)
        if path is not None and path.is_file():
            verify_weights(path, description)
            return path
    raise MissingWeights(
        description.name,
        description.file_name,
        tuple(looked_in),
        in_package=description.source.startswith("package:"),
    )


def verify_weights(path: Path, description: ModelDescription) -> None:
    """Raise ``CorruptWeights`` unless the file has the pinned size and SHA-256."""
    size = path.stat().st_size
    if size != description.bytes:
        raise CorruptWeights(path, f"{description.bytes} bytes", f"{size} bytes")
    digest = sha256_of(path)
    if digest != description.sha256:
        raise CorruptWeights(path, f"sha256 {description.sha256}", f"sha256 {digest}")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _places(
    description: ModelDescription, model_path: Path | None, cache_dir: Path | None
) -> list[tuple[Path | None, str]]:
    """Return the paths to try, in order, with their names for messages; None: cannot be there."""
    name = description.file_name
    places: list[tuple[Path | None, str]] = []
    if model_path is not None and model_path.is_file():
        places.append((model_path if model_path.name == name else None, str(model_path)))
    elif model_path is not None:
        places.append((model_path / name, str(model_path)))
    kind, _, location = description.source.partition(":")
    if kind == "package":
        package, _, inside = location.partition("/")
        root = _package_folder(package)
        places.append((None if root is None else root / inside, f"the Python package {package}"))
    if cache_dir is not None:
        folder = fetched_folder(cache_dir)
        places.append((folder / name, str(folder)))
    return places


def _package_folder(package: str) -> Path | None:
    # find_spec locates a top-level package without running any of its code.
    spec = importlib.util.find_spec(package)
    locations = spec.submodule_search_locations if spec is not None else None
    return Path(locations[0]) if locations else None

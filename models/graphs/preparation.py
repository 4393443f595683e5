"""Prepared graphs: optimised once, then read from a cache folder in milliseconds.

``<source sha256>-<PREPARATION_VERSION>.onnx`` holds the graph, and a file of the same name with
the suffix ``.sha256`` its hash. A graph that does not match its hash is prepared again.
"""

from __future__ import annotations

import hashlib
import uuid
from contextlib import suppress
from pathlib import Path

from models.errors import InferenceFailed
from models.manifest import ModelDescription

PREPARATION_VERSION = 2
"""Raise this with every change of ``graphs/`` that changes its output."""


def prepared_graph(description: ModelDescription, weights: Path, cache_dir: Path) -> Path | bytes:
    """Return the fast graph of the verified file ``weights``: an intact cache file, or bytes.

    Several processes may share one ``cache_dir``. If the folder cannot be written, every start
    prepares the graph again. Raises ``InferenceFailed`` when the graph cannot be optimised.
    """
    path = prepared_path(description, cache_dir)
    if _is_intact(path):
        return path
    graph = _prepare(description, weights)
    with suppress(OSError):
        _store(path, graph)
    return graph


def prepared_path(description: ModelDescription, cache_dir: Path) -> Path:
    """Return the cache file of a model's prepared graph."""
    return cache_dir / f"{description.sha256}-{PREPARATION_VERSION}.onnx"


def _prepare(description: ModelDescription, weights: Path) -> bytes:
    from models.graphs.optimisation import optimise  # noqa: PLC0415  importing onnx takes 0.2 s

    try:
        return optimise(weights, dynamic_input=description.input_size == (0, 0))
    except Exception as error:
        # onnx and protobuf raise errors of many types; all mean that the graph is unusable.
        reason = f"its graph {weights} cannot be prepared: {error}"
        raise InferenceFailed(description.name, reason) from error


def _digest_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _is_intact(path: Path) -> bool:
    try:
        expected = _digest_path(path).read_bytes()
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest().encode("ascii") == expected
    except OSError:
        return False


def _store(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, content)
    # Last, so that a digest on disk always has its graph beside it.
    _replace(_digest_path(path), hashlib.sha256(content).hexdigest().encode("ascii"))


def _replace(path: Path, content: bytes) -> None:
    """Replace a file atomically: a reader sees the old content or the new, never a part."""
    # Not tempfile, whose files only their owner may read: a container image fills the cache as
    # one user and reads it as another.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)

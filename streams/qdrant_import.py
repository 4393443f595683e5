"""Imports qdrant_client without the validators of REST models that nobody here uses.

On import it builds those of all its 500 models, which takes half of the import's time and 14 MB
that stay (measured). Left alone, pydantic builds each when it is first used, under a lock of its
own: 1 ms and 0.3 MB for the ones met here.
"""
# ruff: noqa: PLC0415 - qdrant_client is slow to import

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel

_REST_MODELS = "qdrant_client.http.models.models"


_importing = threading.Lock()


def import_qdrant() -> None:
    """Does nothing where it was imported before. From any thread."""
    with _importing:
        if "qdrant_client" not in sys.modules:
            with _validators_when_used():
                import qdrant_client  # noqa: F401


@contextmanager
def _validators_when_used() -> Iterator[None]:
    original = BaseModel.__dict__["model_rebuild"]

    def build(cls: type[BaseModel], /, **options: Any) -> bool | None:
        if cls.__module__ == _REST_MODELS:
            return None
        # Another thread's, of a model of its own; names are looked up in its frame, one up.
        depth = options.pop("_parent_namespace_depth", 2) + 1
        built: bool | None = original.__func__(cls, _parent_namespace_depth=depth, **options)
        return built

    BaseModel.model_rebuild = classmethod(build)  # type: ignore[assignment,method-assign]
    try:
        yield
    finally:
        BaseModel.model_rebuild = original  # type: ignore[method-assign]

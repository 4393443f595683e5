"""Imports qdrant_client without what nobody here uses of it.

On import it builds the validators of all its 500 REST models, which takes half of the import's time
and 14 MB that stay (measured). Left alone, pydantic builds each when it is first used, under a lock
of its own: 1 ms and 0.3 MB for the ones met here.

It also loads gRPC, 8 MB, though an embedded index has no connection and a server is asked over
HTTP. Names are all it takes from there. (A thread that imports gRPC for itself in that second gets
names too: nothing here does. Before and after it, it gets gRPC.)
"""
# ruff: noqa: PLC0415 - qdrant_client is slow to import

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from pydantic import BaseModel

_REST_MODELS = "qdrant_client.http.models.models"


_importing = threading.Lock()


def import_qdrant() -> None:
    """Does nothing where it was imported before. From any thread."""
    with _importing:
        if "qdrant_client" in sys.modules:
            return
        with _validators_when_used():
            try:
                with _names_for_grpc():
                    import qdrant_client
            except Exception:
                # A release that wants more of gRPC than names gets all of it.
                _forget_qdrant()
                import qdrant_client  # noqa: F401


class _Name(type):
    """A class with nothing in it, that has every attribute: another such class.

    One that is named as an error is one, so that it can be caught.
    """

    def __getattr__(cls, name: str) -> type:
        return _named(cls, name)


class _NamesOnly(ModuleType):
    """A module in which every name is a class with nothing in it."""

    def __getattr__(self, name: str) -> type:
        return _named(self, name)


def _named(owner: Any, name: str) -> type:
    if name.startswith("__"):
        raise AttributeError(name)
    made = _Name(name, (Exception,) if name.endswith("Error") else (), {})
    setattr(owner, name, made)
    return made


@contextmanager
def _names_for_grpc() -> Iterator[None]:
    """In place of gRPC for who imports it meanwhile, unless it is loaded already."""
    if "grpc" in sys.modules:
        yield
        return
    names, of_asyncio = _NamesOnly("grpc"), _NamesOnly("grpc.aio")
    vars(names)["aio"] = of_asyncio
    sys.modules.update({"grpc": names, "grpc.aio": of_asyncio})
    try:
        yield
    finally:
        del sys.modules["grpc"], sys.modules["grpc.aio"]


def _forget_qdrant() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "qdrant_client"]:
        del sys.modules[name]


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

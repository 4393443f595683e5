"""Looks at an index, and moves its alias, without a worker."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from streams.index.alias import Alias
from streams.index.connection import connect
from streams.index.error_translation import translated
from streams.index.face_collections import FaceCollections
from streams.index.index_config import IndexConfig
from streams.index.points import CollectionSummary

if TYPE_CHECKING:
    from qdrant_client import QdrantClient


@dataclass(frozen=True, slots=True)
class AliasReport:
    """The target of the alias, and the collections that it could point to.

    ``points_to``: None when there is no such alias. ``expected``: the collection of the configured
    models, which may not exist yet.
    """

    alias: str
    points_to: str | None
    expected: str
    collections: tuple[CollectionSummary, ...]


async def report_alias(config: IndexConfig) -> AliasReport:
    """Report on the alias. Changes nothing.

    Raises ``IndexUnavailable``, ``IndexBusy`` while a worker uses the folder of an embedded index,
    ``IndexMismatch`` when that folder does not exist, ``IndexDamaged`` or ``ConfigurationError``.
    """
    return await asyncio.to_thread(_report, config)


async def move_alias(config: IndexConfig) -> AliasReport:
    """Point the alias to the collection of the configured models, and report on it.

    Raises what ``report_alias`` raises, and ``IndexMismatch`` when the collection is missing or was
    made by other models.
    """
    return await asyncio.to_thread(_move, config)


def _report(config: IndexConfig) -> AliasReport:
    with _connected(config) as client:
        return _report_of(client, config)


def _move(config: IndexConfig) -> AliasReport:
    with _connected(config) as client:
        collections = FaceCollections(client, config)
        collections.find()
        Alias(client, config).move(collections.main)
        return _report_of(client, config)


def _report_of(client: QdrantClient, config: IndexConfig) -> AliasReport:
    collections = FaceCollections(client, config)
    return AliasReport(
        alias=config.alias,
        points_to=Alias(client, config).target(),
        expected=collections.main,
        collections=tuple(collections.summaries()),
    )


@contextmanager
def _connected(config: IndexConfig) -> Iterator[QdrantClient]:
    # Like a search, it must not create the folder of a misspelt QDRANT_PATH.
    client, folder = connect(replace(config, read_only=True))
    try:
        with translated(config.where):
            yield client
    finally:
        client.close()
        if folder is not None:
            folder.release()

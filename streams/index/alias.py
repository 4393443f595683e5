"""The alias under which other clients of Qdrant find the collection in use.

A worker creates it when it is missing and never moves it: during a rollout, workers with old and
new models run side by side, and the alias would follow the last one that started. It is moved by
``facestream index alias --move``.
"""
# ruff: noqa: PLC0415 - qdrant_client is slow to import; it is loaded by the time this runs

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from streams.index.errors import IndexMismatch
from streams.index.index_config import IndexConfig

if TYPE_CHECKING:
    from qdrant_client import QdrantClient
    from qdrant_client.models import AliasOperations

log = structlog.get_logger(__name__)

MOVE_COMMAND = "facestream index alias --move"


class Alias:
    """The configured alias of one index."""

    def __init__(self, client: QdrantClient, config: IndexConfig) -> None:
        self._client = client
        self._config = config
        self._warned = False

    def target(self) -> str | None:
        """Return the collection that the alias points to; None when there is no such alias."""
        for found in self._client.get_aliases().aliases:
            if found.alias_name == self._config.alias:
                return found.collection_name
        return None

    def ensure(self, collection: str) -> None:
        """Create the alias if it is missing. Warns once when it points to another collection."""
        target = self.target()
        if target is None:
            target = self._create(collection)
        if target != collection and not self._warned:
            self._warned = True
            log.warning(
                "the alias points to another collection than this worker's; it stays as it is",
                alias=self._config.alias,
                points_to=target,
                collection=collection,
                move_with=MOVE_COMMAND,
            )

    def move(self, collection: str) -> None:
        """Point the alias to ``collection``.

        Qdrant carries out both steps as one, so that searches find the old collection or the new
        one at any time.
        """
        from qdrant_client.models import DeleteAlias, DeleteAliasOperation

        target = self.target()
        if target == collection:
            return
        delete = DeleteAliasOperation(delete_alias=DeleteAlias(alias_name=self._config.alias))
        create = self._creation_of(collection)
        self._client.update_collection_aliases([create] if target is None else [delete, create])

    def _create(self, collection: str) -> str | None:
        """Create the alias; returns its target, which another worker may have chosen."""
        from qdrant_client.http.exceptions import UnexpectedResponse

        try:
            self._client.update_collection_aliases([self._creation_of(collection)])
        except (UnexpectedResponse, ValueError):
            target = self.target()
            if target is None:
                raise  # otherwise another worker created it in the meantime
            return target
        return collection

    def _creation_of(self, collection: str) -> AliasOperations:
        from qdrant_client.models import CreateAlias, CreateAliasOperation

        alias = self._config.alias
        if any(alias == found.name for found in self._client.get_collections().collections):
            raise IndexMismatch(
                f"{self._config.where}: {alias} is the name of a collection, so it cannot be an"
                " alias: choose another alias (QDRANT_ALIAS), or delete that collection"
            )
        operation = CreateAlias(collection_name=collection, alias_name=alias)
        return CreateAliasOperation(create_alias=operation)

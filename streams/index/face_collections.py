"""The collections of faces: created when missing, checked when they exist."""
# ruff: noqa: PLC0415 - qdrant_client is slow to import; it is loaded by the time this runs

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.index.alias import Alias
from streams.index.connection import REBUILD
from streams.index.errors import IndexMismatch
from streams.index.index_config import IndexConfig
from streams.index.local_commits import commit_in_batches
from streams.index.model_contract import ModelContract, contract_in
from streams.index.points import CollectionSummary

if TYPE_CHECKING:
    from qdrant_client import QdrantClient
    from qdrant_client.models import CollectionInfo

_KEYWORDS = ("user_id", "event_id")  # the payload fields that searches filter by


class FaceCollections:
    """The collections of one index. Several workers may create and check them at once.

    ``main`` is the collection of the configured models.
    """

    def __init__(self, client: QdrantClient, config: IndexConfig) -> None:
        self._client = client
        self._config = config
        self._alias = Alias(client, config)
        self._ready: dict[str, ModelContract | None] = {}
        self.main = config.contract.collection

    def forget(self) -> None:
        """Check everything again: the server was unavailable, or has lost a collection."""
        self._ready.clear()

    def ensure(self, contract: ModelContract) -> ModelContract | None:
        """Create the collection for these models if it is missing, and check it.

        Returns the contract of the models that made it; None for a filled collection without one.
        For the main collection also creates the alias if it is missing.

        Raises ``IndexMismatch`` for a collection with other vectors, for a main collection that
        other models made, and what the client raises.
        """
        name = contract.collection
        if name in self._ready:
            return self._ready[name]
        if not self._client.collection_exists(name):
            self._create(name, contract)
        info = self._client.get_collection(name)
        self._check_vectors(name, info, contract.embedding_size)
        made_by = contract_in(info.config.metadata) or self._label_if_empty(name, contract)
        if name == self.main:
            self._check_contract(made_by)
        self._prepare(name, info)
        if name == self.main:
            self._alias.ensure(name)
        self._ready[name] = made_by
        return made_by

    def find(self) -> None:
        """Check that the main collection exists and that these models made it. Changes nothing.

        Raises ``IndexMismatch``, and what the client raises.
        """
        if not self._client.collection_exists(self.main):
            raise IndexMismatch(
                f"{self._config.where} has no collection {self.main}: no worker with these models "
                "(FACE_DETECTOR, FACE_EMBEDDER) has indexed anything there"
            )
        made_by = contract_in(self._client.get_collection(self.main).config.metadata)
        self._check_contract(made_by)
        self._ready[self.main] = made_by

    def names(self) -> list[str]:
        """Return the names of all collections of faces, sorted."""
        names = (found.name for found in self._client.get_collections().collections)
        return sorted(name for name in names if name.startswith("faces-"))

    def summaries(self) -> list[CollectionSummary]:
        """Return all collections of faces, by name."""
        return [
            CollectionSummary(name, self._client.count(name, exact=True).count)
            for name in self.names()
        ]

    def _create(self, name: str, contract: ModelContract) -> None:
        from qdrant_client.http.exceptions import UnexpectedResponse
        from qdrant_client.models import Distance, VectorParams

        size = contract.embedding_size
        try:
            self._client.create_collection(
                name,
                vectors_config=VectorParams(size=size, distance=Distance.COSINE),
                replication_factor=self._config.replication_factor,
                shard_number=self._config.shard_number,
                metadata=contract.metadata(),
            )
        except (UnexpectedResponse, ValueError):
            if not self._client.collection_exists(name):
                raise  # otherwise another worker created it in the meantime

    def _check_vectors(self, name: str, info: CollectionInfo, size: int) -> None:
        from qdrant_client.models import Distance, VectorParams

        found = info.config.params.vectors
        if not isinstance(found, VectorParams) or (found.size, found.distance) != (
            size,
            Distance.COSINE,
        ):
            raise IndexMismatch(
                f"{self._config.where}: the collection {name} was made for other vectors ({found})"
                f" than the {size} numbers with cosine distance of this embedder: delete the"
                f" collection and {REBUILD}"
            )

    def _label_if_empty(self, name: str, contract: ModelContract) -> ModelContract | None:
        """Write the contract into a collection that has none, while it is still empty."""
        if self._client.count(name, exact=True).count:
            return None
        self._client.update_collection(name, metadata=contract.metadata())
        made_by = contract_in(self._client.get_collection(name).config.metadata)
        if made_by is None:
            raise IndexMismatch(
                f"{self._config.where} does not store the metadata of collections, which records "
                "the models that made them: Qdrant 1.16 or newer is needed"
            )
        return made_by

    def _check_contract(self, made_by: ModelContract | None) -> None:
        mine = self._config.contract
        if made_by == mine:
            return
        reason = "does not say which models made it"
        if made_by is not None:
            reason = f"was made by other models ({mine.differences(made_by)})"
        raise IndexMismatch(
            f"{self._config.where}: the collection {self.main} {reason}, and faces of different "
            "models cannot be compared. Use the models that made it (FACE_DETECTOR, FACE_EMBEDDER, "
            "the version of facestream), or another index (QDRANT_URL or QDRANT_PATH), or delete "
            "the collection and submit the pictures again"
        )

    def _prepare(self, name: str, info: CollectionInfo) -> None:
        """Set up batched commits on a local collection, payload indexes on a server's."""
        from qdrant_client.models import PayloadSchemaType

        if not self._config.url:
            commit_in_batches(self._client, name)
            return
        for key in _KEYWORDS:
            if key not in info.payload_schema:
                self._client.create_payload_index(name, key, PayloadSchemaType.KEYWORD)

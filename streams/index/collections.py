"""The collections and the alias: made where missing, checked where they exist."""
# ruff: noqa: PLC0415 - qdrant_client is slow to import; by the time this runs it is there

from typing import TYPE_CHECKING

from streams.index.client import REBUILD, IndexConfig, commit_in_batches
from streams.index.errors import IndexMismatch
from streams.index.model_contract import ModelContract, contract_in
from streams.index.points import CollectionSummary, collection_name

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

_KEYWORDS = ("user_id", "event_id")  # payload fields that searches exclude by


class Collections:
    """What exists in one index. Several workers may do all of this at once."""

    def __init__(self, client: "QdrantClient", config: IndexConfig) -> None:
        self._client = client
        self._config = config
        self._ready: dict[str, ModelContract | None] = {}
        self._pointed = False
        self.main = collection_name(config.embedder, config.embedding_size)

    def forget(self) -> None:
        """Look at everything anew: the server was away, or has lost a collection."""
        self._ready.clear()

    def ensure(
        self, name: str, size: int, contract: ModelContract | None = None
    ) -> ModelContract | None:
        """Makes the collection if it is missing; for the main one, points the alias at it once.

        Once a process: where another worker moves the alias to newer models, an older one that
        meets its server again must not take it back.

        Answers with the contract that made it, which for the main one must be `contract`. Raises
        IndexMismatch, and what the client raises.
        """
        from qdrant_client.http.exceptions import UnexpectedResponse
        from qdrant_client.models import Distance, PayloadSchemaType, VectorParams

        if name in self._ready:
            return self._ready[name]
        if not self._client.collection_exists(name):
            try:
                self._client.create_collection(
                    name,
                    vectors_config=VectorParams(size=size, distance=Distance.COSINE),
                    replication_factor=self._config.replication_factor,
                    shard_number=self._config.shard_number,
                    metadata=contract.metadata() if contract else None,
                )
            except (UnexpectedResponse, ValueError):
                if not self._client.collection_exists(name):
                    raise  # else another worker made it in between
        info = self._client.get_collection(name)
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
        made_by = contract_in(info.config.metadata)
        if contract is not None and made_by is None:
            made_by = self._label_if_empty(name, contract)
        if name == self.main and self._config.contract is not None:
            self._must_be_mine(name, made_by, self._config.contract)
        if not self._config.url:
            commit_in_batches(self._client, name)
        else:  # local mode has no payload indexes, and warns
            for key in _KEYWORDS:
                if key not in info.payload_schema:
                    self._client.create_payload_index(name, key, PayloadSchemaType.KEYWORD)
        if name == self.main:
            self._point_alias()
        self._ready[name] = made_by
        return made_by

    def find(self) -> None:
        """The main collection must be there, made by these models. Makes and changes nothing.

        Raises IndexMismatch, and what the client raises.
        """
        if not self._client.collection_exists(self.main):
            raise IndexMismatch(
                f"{self._config.where} has no collection {self.main}: no worker with these models "
                "(FACE_DETECTOR, FACE_EMBEDDER) has indexed anything there"
            )
        made_by = contract_in(self._client.get_collection(self.main).config.metadata)
        if self._config.contract is not None:
            self._must_be_mine(self.main, made_by, self._config.contract)
        self._ready[self.main] = made_by

    def _label_if_empty(self, name: str, contract: ModelContract) -> ModelContract | None:
        """A collection without a contract gets one while there is nothing in it yet."""
        if self._client.count(name, exact=True).count:
            return None
        self._client.update_collection(name, metadata=contract.metadata())
        made_by = contract_in(self._client.get_collection(name).config.metadata)
        if made_by is None:
            raise IndexMismatch(
                f"{self._config.where} does not keep the metadata of collections, so nobody could "
                "tell which models made one: Qdrant 1.16 or newer is needed"
            )
        return made_by

    def _must_be_mine(self, name: str, made_by: ModelContract | None, mine: ModelContract) -> None:
        if made_by == mine:
            return
        reason = "does not say which models made it"
        if made_by is not None:
            reason = f"was made by other models ({mine.differences(made_by)})"
        raise IndexMismatch(
            f"{self._config.where}: the collection {name} {reason}, and faces of different models "
            "cannot be compared. Go back to those models (FACE_DETECTOR, FACE_EMBEDDER, the "
            "version of facestream), or use an index of its own (QDRANT_URL or QDRANT_PATH), or "
            "delete the collection and submit the pictures again"
        )

    def _point_alias(self) -> None:
        from qdrant_client.http.exceptions import UnexpectedResponse
        from qdrant_client.models import (
            CreateAlias,
            CreateAliasOperation,
            DeleteAlias,
            DeleteAliasOperation,
        )

        alias, name = self._config.alias, self.main
        target = self._aliases().get(alias)
        if target == name or (target and self._pointed):
            self._pointed = True
            return
        if any(alias == found.name for found in self._client.get_collections().collections):
            raise IndexMismatch(
                f"{self._config.where}: {alias} is the name of a collection, so it cannot be an"
                " alias: choose another alias (QDRANT_ALIAS), or delete that collection"
            )
        create = CreateAliasOperation(
            create_alias=CreateAlias(collection_name=name, alias_name=alias)
        )
        delete = DeleteAliasOperation(delete_alias=DeleteAlias(alias_name=alias))
        try:  # both in one request, which Qdrant carries out as one
            self._client.update_collection_aliases([delete, create] if target else [create])
        except (UnexpectedResponse, ValueError):
            if self._aliases().get(alias) != name:
                raise  # else another worker pointed it there in between
        self._pointed = True

    def _aliases(self) -> dict[str, str]:
        return {
            found.alias_name: found.collection_name for found in self._client.get_aliases().aliases
        }

    def names(self) -> list[str]:
        """The names of our collections, sorted."""
        names = (found.name for found in self._client.get_collections().collections)
        return sorted(name for name in names if name.startswith("faces-"))

    def summaries(self) -> list[CollectionSummary]:
        """Every collection of ours, by name."""
        alias_of = {name: alias for alias, name in sorted(self._aliases().items())}
        return [
            CollectionSummary(name, self._client.count(name, exact=True).count, alias_of.get(name))
            for name in self.names()
        ]

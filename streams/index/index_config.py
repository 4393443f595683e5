"""The place of the index, and the models that it is opened for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from streams.config.index_settings import IndexSettings
from streams.config.urls import without_credentials
from streams.index.model_contract import ModelContract


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexConfig:
    """The place of the index and the models at work.

    ``url``: a Qdrant server; without it the index is embedded in the folder ``path``.
    ``contract``: the models; they choose the collection. ``timeout_s``: of one request to a server,
    rounded up to whole seconds. ``replication_factor``, ``shard_number``: of new collections on a
    server; None leaves the choice to it. ``read_only``: create and change nothing.
    """

    contract: ModelContract
    path: Path
    url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    alias: str = "faces"
    timeout_s: float = 10
    replication_factor: int | None = None
    shard_number: int | None = None
    read_only: bool = False

    @property
    def where(self) -> str:
        """The place, as messages name it."""
        if self.url:
            return f"Qdrant at {without_credentials(self.url)}"
        return f"the index folder {self.path}"


def index_config(
    settings: IndexSettings, contract: ModelContract, *, read_only: bool = False
) -> IndexConfig:
    """Return the index that the settings name, for these models."""
    key = settings.qdrant_api_key
    return IndexConfig(
        contract=contract,
        path=settings.qdrant_path,
        url=settings.qdrant_url,
        api_key=key.get_secret_value() if key else None,
        alias=settings.qdrant_alias,
        timeout_s=settings.qdrant_timeout_s,
        replication_factor=settings.qdrant_replication,
        shard_number=settings.qdrant_shards,
        read_only=read_only,
    )

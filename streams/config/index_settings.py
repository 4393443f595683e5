"""Settings of the vector index."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr

from streams.config.section import HomePath, Section


class IndexSettings(Section):
    """The place of the index, and the options of new collections."""

    qdrant_url: str | None = Field(
        None, description="URL of the Qdrant server. Unset: an embedded index in `QDRANT_PATH`."
    )
    qdrant_api_key: SecretStr | None = Field(None, description="API key of the Qdrant server.")
    qdrant_path: HomePath = Field(Path("var/index"), description="Folder of the embedded index.")
    qdrant_alias: str = Field(
        "faces", min_length=1, description="Alias of the collection that is in use."
    )
    qdrant_timeout_s: float = Field(
        10, gt=0, description="Time limit of one request to the index, in seconds."
    )
    qdrant_shards: int | None = Field(
        None,
        ge=1,
        description="Shards of the collections that facestream creates. Unset: Qdrant's default.",
    )
    qdrant_replication: int | None = Field(
        None,
        ge=1,
        description="Replicas of the collections that facestream creates. Unset: Qdrant's default.",
    )

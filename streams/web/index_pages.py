"""Questions about the index that this worker has open: an embedded one has only this door."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from faust.web import View
from pydantic import BaseModel, FailFast, Field, ValidationError

from schemas.errors import InvalidEvent, problems_of
from schemas.scored_face import MAX_EMBEDDING_SIZE
from streams.app import app
from streams.index.vector_index import Neighbour
from streams.web.api_view import admitted
from streams.web.requests import read_body

#: Most bytes of a search's body: the longest embedding, with all digits and spaces.
MAX_SEARCH_BYTES = 256 * 1024


class SearchQuery(BaseModel):
    """The body of a search."""

    embedding: Annotated[
        list[Annotated[float, Field(allow_inf_nan=False)]],
        Field(max_length=MAX_EMBEDDING_SIZE),
        FailFast(),
    ]
    limit: int = Field(5, ge=1, le=100)


@app.page("/index")
async def index_state(self: Any, request: Any) -> Any:
    """How many faces the index in use holds."""
    if not app.runtime.index_is_open:
        return self.json({"error": "the index is not open yet"}, status=503)
    index = await app.runtime.index()
    return self.json({"alias": app.settings.qdrant_alias, "faces": await index.count()})


@app.page("/index/faces/{face_id}")
async def indexed_face(self: Any, request: Any, face_id: str) -> Any:
    """An indexed face and its nearest faces of other events."""
    if not app.runtime.index_is_open:
        return self.json({"error": "the index is not open yet"}, status=503)
    try:
        UUID(face_id)
    except ValueError:
        return self.json({"error": f"face_id: expected a UUID, found {face_id!r}"}, status=400)
    index = await app.runtime.index()
    found = await index.get(face_id)
    if found is None:
        return self.json({"error": f"no face {face_id} in the index"}, status=404)
    neighbours = await index.nearest(found.vector, limit=5, exclude_event_id=found.event_id)
    return self.json({"face_id": face_id, "nearest": [_as_json(one) for one in neighbours]})


@app.page("/index/search")
class SearchFaces(View):  # type: ignore[misc]
    """Nearest faces to an embedding: POST {"embedding": [...], "limit": n}."""

    async def post(self, request: Any) -> Any:
        """The nearest faces, most similar first.

        ``thresholds``: the similarities from which two faces count as one person, by false accept
        rate, for the embedder in use; null where nobody measured them.
        """
        if not app.runtime.index_is_open:
            return self.json({"error": "the index is not open yet"}, status=503)
        with admitted(request, MAX_SEARCH_BYTES):
            body = await read_body(request, app.settings, MAX_SEARCH_BYTES)
            return await self._search(body)

    async def _search(self, body: bytes) -> Any:
        try:
            query = SearchQuery.model_validate_json(body)
        except ValidationError as error:
            raise InvalidEvent(problems_of(error)) from None
        embedder = app.runtime.pool.pipeline.embedder
        if len(query.embedding) != embedder.dimension:
            expected = f"{embedder.dimension} numbers"
            problem = f"embedding: expected {expected}, found {len(query.embedding)}"
            return self.json({"error": problem}, status=400)
        index = await app.runtime.index()
        neighbours = await index.nearest(query.embedding, limit=query.limit)
        return self.json(
            {
                "nearest": [_as_json(one) for one in neighbours],
                "embedder": embedder.name,
                "thresholds": embedder.thresholds_by_rate,
            }
        )


def _as_json(neighbour: Neighbour) -> dict[str, Any]:
    return {
        "face_id": neighbour.face_id,
        "event_id": neighbour.event_id,
        "user_id": neighbour.user_id,
        "similarity": neighbour.similarity,
    }

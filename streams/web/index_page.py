"""Queries of the index that this worker has open; an embedded index has no other access."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from aiohttp import web
from pydantic import BaseModel, FailFast, Field, ValidationError

from schemas.errors import InvalidEvent, problems_of
from schemas.scored_face import MAX_EMBEDDING_SIZE
from streams.index.points import Neighbour
from streams.index.vector_index import VectorIndex
from streams.runtime import Runtime
from streams.web.admission import Intake
from streams.web.answers import json_answer
from streams.web.failures import Refusal
from streams.web.request_body import read_body

#: The most bytes of a search's body: the longest embedding, with all digits and spaces.
MAX_SEARCH_BYTES = 256 * 1024


class SearchQuery(BaseModel):
    """The body of a search."""

    embedding: Annotated[
        list[Annotated[float, Field(allow_inf_nan=False)]],
        Field(max_length=MAX_EMBEDDING_SIZE),
        FailFast(),
    ]
    limit: int = Field(5, ge=1, le=100)


class IndexPages:
    """The pages below ``/index``."""

    def __init__(self, runtime: Runtime, intake: Intake) -> None:
        self._runtime = runtime
        self._intake = intake

    async def state(self, _: web.Request) -> web.Response:
        """Answer with the configured alias and the number of faces in this worker's collection."""
        index = await self._index()
        alias = self._runtime.settings.qdrant_alias
        return json_answer({"alias": alias, "faces": await index.count()})

    async def face(self, request: web.Request) -> web.Response:
        """Answer with an indexed face and its nearest faces of other events."""
        index = await self._index()
        face_id = request.match_info["face_id"]
        try:
            UUID(face_id)
        except ValueError:
            raise Refusal(
                HTTPStatus.BAD_REQUEST, f"face_id: expected a UUID, found {face_id!r}"
            ) from None
        found = await index.get(face_id)
        if found is None:
            raise Refusal(HTTPStatus.NOT_FOUND, f"no face {face_id} in the index")
        neighbours = await index.nearest(found.vector, limit=5, exclude_event_id=found.event_id)
        return json_answer({"face_id": face_id, "nearest": [_as_json(one) for one in neighbours]})

    async def search(self, request: web.Request) -> web.Response:
        """Answer with the faces nearest to an embedding, most similar first.

        The body is ``{"embedding": [...], "limit": n}``. ``thresholds`` in the answer: the
        similarity from which two faces count as one person, by false accept rate, for the embedder
        in use; null for an embedder without measured thresholds.
        """
        index = await self._index()
        with self._intake.admit(request, MAX_SEARCH_BYTES):
            body = await read_body(request, self._runtime.settings, MAX_SEARCH_BYTES)
            query = _parsed(body)
            embedder = self._runtime.pool.pipeline.embedder
            if len(query.embedding) != embedder.dimension:
                raise Refusal(
                    HTTPStatus.BAD_REQUEST,
                    f"embedding: expected {embedder.dimension} numbers, "
                    f"found {len(query.embedding)}",
                )
            neighbours = await index.nearest(query.embedding, limit=query.limit)
        return json_answer(
            {
                "nearest": [_as_json(one) for one in neighbours],
                "embedder": embedder.name,
                "thresholds": embedder.thresholds_by_rate,
            }
        )

    async def _index(self) -> VectorIndex:
        if not self._runtime.index_is_open:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "the index is not open yet")
        return await self._runtime.index()


def _parsed(body: bytes) -> SearchQuery:
    try:
        return SearchQuery.model_validate_json(body)
    except ValidationError as error:
        raise InvalidEvent(problems_of(error)) from None


def _as_json(neighbour: Neighbour) -> dict[str, str | float]:
    return {
        "face_id": neighbour.face_id,
        "event_id": neighbour.event_id,
        "user_id": neighbour.user_id,
        "similarity": neighbour.similarity,
    }

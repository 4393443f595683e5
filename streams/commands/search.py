"""``facestream search``: find the indexed faces nearest to a face."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypedDict

import aiohttp
import click
from faust.cli.base import argument, option
from rich.table import Table
from rich.text import Text

from models.pipeline import FacePipeline
from streams.commands.base import FacestreamCommand
from streams.errors import StreamsError
from streams.index.index_config import index_config
from streams.index.model_contract import contract_of
from streams.index.vector_index import VectorIndex
from streams.inference.model_loading import load_models

#: The share of pairs of different people that pass the threshold for "same person".
FALSE_ACCEPT_RATE = "1e-4"


class Match(TypedDict):
    """An indexed face, with its cosine similarity."""

    similarity: float
    user_id: str
    face_id: str
    event_id: str


class Search(FacestreamCommand):
    """Find the indexed faces nearest to the most prominent face of a picture."""

    options = [
        argument("picture"),
        option(
            "--limit",
            type=click.IntRange(1, 100),
            default=5,
            help="Maximum number of faces to show.",
        ),
        option(
            "--min-confidence",
            type=click.FloatRange(0, 1),
            default=0.7,
            help="Minimum detection confidence.",
        ),
        option("--json", "as_json", is_flag=True, help="Print one JSON object per line."),
    ]

    async def main(
        self, *, picture: str, limit: int, min_confidence: float, as_json: bool, **_: object
    ) -> int:
        """Print the nearest faces, most similar first."""
        path = Path(picture)
        if not path.is_file():
            raise StreamsError(f"{picture}: no such file")
        pipeline = load_models(self.settings)
        scored = pipeline.score(path.read_bytes(), min_confidence=min_confidence, max_faces=1)
        embedding = [float(value) for value in scored.faces[0].embedding]
        nearest = await self._nearest(pipeline, embedding, limit)
        if as_json:
            for one in nearest:
                print(json.dumps(one))
            return 0
        self._print(nearest, pipeline.embedder.name, pipeline.embedder.threshold(FALSE_ACCEPT_RATE))
        return 0

    def _print(self, nearest: list[Match], embedder: str, threshold: float | None) -> None:
        table = Table("similarity", "same person", "user", "face_id", "event_id")
        for one in nearest:
            table.add_row(
                f"{one['similarity']:.3f}",
                _same_person(one["similarity"], threshold),
                Text(one["user_id"]),
                one["face_id"],
                one["event_id"],
            )
        self.console.print(table)
        self.notes.print(
            f"{embedder}: the threshold for 'same person' was not measured"
            if threshold is None
            else f"{embedder}: the threshold for 'same person' is {threshold} (false accept rate "
            f"{FALSE_ACCEPT_RATE})"
        )

    async def _nearest(
        self, pipeline: FacePipeline, embedding: list[float], limit: int
    ) -> list[Match]:
        """Ask the Qdrant server, or the worker that has the embedded index open."""
        if self.settings.qdrant_url is None:
            try:
                return await self._ask_worker(embedding, limit)
            except aiohttp.ClientConnectionError:
                self.notes.print(
                    f"no worker on port {self.settings.port}: opening {self.settings.qdrant_path}"
                )
        # Read-only: a search must not create a collection for models that no worker has.
        contract = contract_of(pipeline.detector, pipeline.embedder)
        index = await VectorIndex.open(index_config(self.settings, contract, read_only=True))
        try:
            return [
                {
                    "similarity": one.similarity,
                    "user_id": one.user_id,
                    "face_id": one.face_id,
                    "event_id": one.event_id,
                }
                for one in await index.nearest(embedding, limit=limit)
            ]
        finally:
            await index.close()

    async def _ask_worker(self, embedding: list[float], limit: int) -> list[Match]:
        url = f"http://{self.settings.web_client_host}:{self.settings.port}/index/search"
        body = {"embedding": embedding, "limit": limit}
        token = self.settings.api_token
        headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(url, json=body) as answer,
        ):
            found = await answer.json(content_type=None)
            if answer.status != 200:
                raise StreamsError(f"the worker answered {answer.status}: {found}")
            return list(found["nearest"])


def _same_person(similarity: float, threshold: float | None) -> str:
    if threshold is None:
        return "-"
    return "[green]yes[/]" if similarity >= threshold else "no"

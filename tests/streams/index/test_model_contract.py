"""A collection records which models made it, and takes no points of others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, PointStruct, VectorParams

from streams.index.errors import IndexMismatch, IndexRejected
from streams.index.model_contract import KEY, contract_in
from streams.index.points import FacePoint
from tests.streams.index.examples import COLLECTION, A, contract, face, open_folder

MINE = contract()


@contextmanager
def unlabelled_collection(path: Path) -> Iterator[QdrantClient]:
    """A collection without a contract: made by hand, or by a worker that died while making it."""
    client = QdrantClient(path=str(path))
    client.create_collection(COLLECTION, VectorParams(size=3, distance=Distance.COSINE))
    yield client
    client.close()


async def test_the_models_that_made_a_collection_may_open_it_again(tmp_path: Path) -> None:
    for _ in range(2):
        index = await open_folder(tmp_path, MINE)
        await index.apply([face(A)])
        assert 1 == await index.count()
        await index.close()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"detector": "blazeface-back"}, "detector yunet (aaaaaaaa), not blazeface-back"),
        ({"detector_sha256": "c" * 64}, "yunet (aaaaaaaa), not yunet (cccccccc)"),
        ({"embedder_sha256": "c" * 64}, "sface (bbbbbbbb), not sface (cccccccc)"),
        ({"formula_version": "3"}, "formula version 2, not 3"),
    ],
)
async def test_opening_with_other_models_is_refused(
    tmp_path: Path, change: dict[str, str], told: str
) -> None:
    """The message says what differs and what can be done."""
    await (await open_folder(tmp_path, MINE)).close()
    with pytest.raises(IndexMismatch) as caught:
        await open_folder(tmp_path, replace(MINE, **change))  # type: ignore[arg-type]
    message = str(caught.value)
    for part in (COLLECTION, told, "FACE_EMBEDDER", "QDRANT_PATH", "delete the collection"):
        assert part in message
    await (await open_folder(tmp_path, MINE)).close()  # the refusal left it unchanged


async def test_an_empty_collection_without_a_contract_is_adopted(tmp_path: Path) -> None:
    with unlabelled_collection(tmp_path):
        pass
    index = await open_folder(tmp_path, MINE)
    await index.apply([face(A)])
    await index.close()
    with pytest.raises(IndexMismatch):
        await open_folder(tmp_path, replace(MINE, detector="scrfd-10g"))


async def test_a_filled_collection_without_a_contract_is_refused(tmp_path: Path) -> None:
    """Its points could be of any models."""
    with unlabelled_collection(tmp_path) as client:
        client.upsert(COLLECTION, [PointStruct(id=1, vector=[1.0, 0.0, 0.0], payload={})])
    with pytest.raises(IndexMismatch, match="does not say which models made it"):
        await open_folder(tmp_path, MINE)


async def test_a_face_of_other_models_is_rejected(tmp_path: Path) -> None:
    """An event from before a change of models, read after it: nothing of its batch is written."""
    index = await open_folder(tmp_path, MINE)
    old: FacePoint = replace(face(A), contract=replace(MINE, formula_version="1"))
    with pytest.raises(IndexRejected, match="formula version 2, not 1.*submit the picture again"):
        await index.apply([old])
    assert 0 == await index.count()
    await index.close()


def test_metadata_of_another_program_is_no_contract() -> None:
    """It does not fail the opening either."""
    assert contract_in(None) is None
    assert contract_in({"owner": "ann"}) is None
    assert contract_in({KEY: {"detector": "yunet"}}) is None
    assert MINE == contract_in({"owner": "ann", **MINE.metadata()})

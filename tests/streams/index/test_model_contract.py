"""A collection knows which models made it, and takes nothing from others."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from streams.index.indexer import index_face_id
from streams.index.model_contract import KEY, ModelContract, contract_in
from streams.index.vector_index import FacePoint, IndexMismatch, IndexRejected, VectorIndex

MINE = ModelContract("yunet", "a" * 64, "sface", "b" * 64, 3, "2")
EVENT = str(uuid.UUID(int=7))
VECTOR = (1.0, 0.0, 0.0)


async def open_index(path: Path, contract: ModelContract | None) -> VectorIndex:
    return await VectorIndex.open(
        url=None,
        api_key=None,
        path=path,
        embedder="sface",
        embedding_size=3,
        face_id_of=index_face_id,
        contract=contract,
    )


def point(contract: ModelContract | None, vector: Sequence[float] = VECTOR) -> FacePoint:
    face_id = index_face_id(EVENT, 0)
    return FacePoint(face_id, EVENT, "ann", 0, 1, vector, "sface", contract=contract)


async def test_the_same_models_come_back(tmp_path: Path) -> None:
    """Opening again with the contract that made it, and writing, is what happens every day."""
    for _ in range(2):
        index = await open_index(tmp_path, MINE)
        await index.apply([point(MINE)])
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
async def test_other_models_are_refused_at_the_door(
    tmp_path: Path, change: dict[str, str], told: str
) -> None:
    """The message says what differs, and every way out."""
    await (await open_index(tmp_path, MINE)).close()
    with pytest.raises(IndexMismatch) as caught:
        await open_index(tmp_path, replace(MINE, **change))  # type: ignore[arg-type]
    message = str(caught.value)
    for part in ("faces-sface-3", told, "FACE_EMBEDDER", "QDRANT_PATH", "delete the collection"):
        assert part in message
    await (await open_index(tmp_path, MINE)).close()  # refused, and left as it was


async def test_an_empty_collection_of_nobody_is_taken(tmp_path: Path) -> None:
    """A crash between making and labelling, or one made by hand."""
    await (await open_index(tmp_path, None)).close()
    index = await open_index(tmp_path, MINE)
    await index.apply([point(MINE)])
    await index.close()
    with pytest.raises(IndexMismatch):
        await open_index(tmp_path, replace(MINE, detector="scrfd-10g"))


async def test_a_filled_collection_of_nobody_is_refused(tmp_path: Path) -> None:
    """What is in it could be of any models."""
    index = await open_index(tmp_path, None)
    await index.apply([point(None)])
    await index.close()
    with pytest.raises(IndexMismatch, match="does not say which models made it"):
        await open_index(tmp_path, MINE)


async def test_a_face_of_other_models_is_rejected(tmp_path: Path) -> None:
    """An event of before a change, read by a worker of after it: nothing of its batch is kept."""
    index = await open_index(tmp_path, MINE)
    old = replace(MINE, formula_version="1")
    with pytest.raises(IndexRejected, match="formula version 2, not 1.*submit the picture again"):
        await index.apply([point(old)])
    assert 0 == await index.count()
    await index.close()


def test_metadata_that_is_not_ours_is_no_contract() -> None:
    """Somebody else's metadata does not break the opening."""
    assert contract_in(None) is None
    assert contract_in({"owner": "ann"}) is None
    assert contract_in({KEY: {"detector": "yunet"}}) is None
    assert MINE == contract_in({"owner": "ann", **MINE.metadata()})

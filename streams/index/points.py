"""The values that go into the vector index and come out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from streams.index.errors import IndexRejected
from streams.index.model_contract import ModelContract

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"


@dataclass(frozen=True, slots=True)
class FacePoint:
    """One face of an event, ready to be indexed.

    ``face_id``: a UUID. ``face_count``: the number of faces of the event. ``vector``: the
    embedding. ``contract``: the models that made it; they choose the collection. ``payload``: what
    is stored with the point, besides the fields that ``stored_payload`` adds.
    """

    face_id: str
    event_id: str
    user_id: str
    face_index: int
    face_count: int
    vector: Sequence[float]
    contract: ModelContract
    payload: Mapping[str, JSON] = field(default_factory=dict)

    @property
    def collection(self) -> str:
        """The name of the collection for this point."""
        return self.contract.collection

    def stored_payload(self) -> dict[str, JSON]:
        """Return the payload as it is stored; the added fields win over equal names."""
        return {
            **self.payload,
            "user_id": self.user_id,
            "event_id": self.event_id,
            "face_index": self.face_index,
            "face_count": self.face_count,
            "embedder": self.contract.embedder,
        }


@dataclass(frozen=True, slots=True)
class GoneFaces:
    """An event without faces, or without them from now on: its points leave every collection."""

    event_id: str


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A face near the one searched for; ``similarity`` is the cosine, in [-1, 1]."""

    face_id: str
    user_id: str
    event_id: str
    similarity: float


@dataclass(frozen=True, slots=True)
class IndexedFace:
    """A face as the index stores it; ``vector`` is L2-normalised."""

    face_id: str
    user_id: str
    event_id: str
    vector: tuple[float, ...]
    payload: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class CollectionSummary:
    """A collection of faces and how many points it holds."""

    name: str
    points: int


def finite_vector(vector: Sequence[float], what: str) -> list[float]:
    """Return the vector rounded to float32.

    Raises ``IndexRejected``, naming ``what``, when it is empty or a number is not finite.
    """
    try:
        with np.errstate(over="ignore"):
            array = np.asarray(vector, dtype=np.float32)
    except (ValueError, TypeError):
        raise IndexRejected(f"{what}: the vector is not a list of numbers") from None
    if array.ndim != 1 or not array.size or not np.isfinite(array).all():
        raise IndexRejected(f"{what}: the vector is empty or holds numbers that are not finite")
    numbers: list[float] = array.tolist()
    return numbers

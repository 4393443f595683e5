"""Embedders: from an aligned crop to an embedding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.embedding.crop_tensor import crop_tensor
from models.errors import InferenceFailed
from models.manifest import ModelDescription
from models.session import Cancellation, Session


@dataclass(frozen=True)
class Embedding:
    """An L2-normalised embedding.

    vector: (dimension,) float32 of length 1.
    norm: length before normalisation. It indicates how much of a face the network saw: see
        ``recognisability`` in ``quality/formulas.py``.
    """

    vector: NDArray[np.float32]
    norm: float


class FaceEmbedder(Protocol):
    """Turns aligned crops into embeddings; shared by all threads."""

    @property
    def description(self) -> ModelDescription:
        """The manifest entry of the model."""
        ...

    def embed(self, crop: NDArray[np.uint8], cancellation: Cancellation) -> Embedding:
        """Embed an aligned crop, (112, 112, 3) uint8 BGR.

        Raises ``InferenceFailed`` or ``InferenceTerminated``.
        """
        ...


class AlignedCropEmbedder:
    """Any network trained on the ArcFace crop; its manifest entry holds the differences."""

    def __init__(self, session: Session, description: ModelDescription) -> None:
        self._session = session
        self._description = description

    @property
    def description(self) -> ModelDescription:
        return self._description

    def embed(self, crop: NDArray[np.uint8], cancellation: Cancellation) -> Embedding:
        outputs = self._session.run(crop_tensor(crop, self._description), cancellation)
        raw = next(iter(outputs.values())).reshape(-1)
        norm = float(np.linalg.norm(raw))
        if raw.size != self._description.dimension:
            expected = f"{self._description.dimension} values"
            raise InferenceFailed(self._description.name, f"{raw.size} values, not {expected}")
        if not np.isfinite(norm) or norm == 0.0:
            raise InferenceFailed(self._description.name, f"an embedding of length {norm}")
        return Embedding(vector=np.asarray(raw / norm, dtype=np.float32), norm=norm)

"""Quality as a network of its own has learned it, beside the one that `quality.py` works out."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.embedding.crop_tensor import crop_tensor
from models.errors import InferenceFailed
from models.manifest import ModelDescription
from models.session import Cancellation, Session


class QualityAssessor(Protocol):
    """Says how good aligned crops are; shared by all threads."""

    @property
    def description(self) -> ModelDescription: ...

    def assess(self, crop: NDArray[np.uint8], cancellation: Cancellation) -> float:
        """Higher is better, on the model's own scale. `crop`: (112, 112, 3) uint8 BGR.

        Raises InferenceFailed or InferenceTerminated.
        """
        ...


class CropQualityAssessor:
    """A network that answers the ArcFace crop with one number: eDifFIQA(T), Babnik, Peer and
    Struc 2024, a MobileFaceNet with a regression head. Its authors train it towards 0..1; it is
    not clipped, so that nothing of its answer is lost."""

    def __init__(self, session: Session, description: ModelDescription) -> None:
        self._session = session
        self._description = description

    @property
    def description(self) -> ModelDescription:
        return self._description

    def assess(self, crop: NDArray[np.uint8], cancellation: Cancellation) -> float:
        outputs = self._session.run(crop_tensor(crop, self._description), cancellation)
        answer = next(iter(outputs.values())).reshape(-1)
        if answer.size != 1 or not np.isfinite(answer[0]):
            found = f"{answer.size} values" if answer.size != 1 else f"the quality {answer[0]}"
            raise InferenceFailed(self._description.name, f"{found}, not one finite number")
        return float(answer[0])

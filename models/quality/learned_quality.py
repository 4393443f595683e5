"""Quality from a separate network, beside the one that ``formulas`` computes."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.embedding.crop_tensor import crop_tensor
from models.errors import InferenceFailed
from models.manifest import ModelDescription
from models.session import Cancellation, Session


class QualityAssessor(Protocol):
    """Rates aligned crops; shared by all threads."""

    @property
    def description(self) -> ModelDescription:
        """The manifest entry of the model."""
        ...

    def assess(self, crop: NDArray[np.uint8], cancellation: Cancellation) -> float:
        """Rate a crop, (112, 112, 3) uint8 BGR, on the model's own scale; higher is better.

        Raises ``InferenceFailed`` or ``InferenceTerminated``.
        """
        ...


class CropQualityAssessor:
    """A network that rates the ArcFace crop with one number.

    eDifFIQA(T) by Babnik, Peer and Struc 2024 is a MobileFaceNet with a regression head. It is
    trained towards 0..1; the output is not clipped, so that no information is lost.
    """

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

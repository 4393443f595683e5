"""``shadow-scored``: the real models' scores of an event that got a simulated answer."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.errors import inconsistent
from schemas.fallback import FallbackReason
from schemas.field_types import EventId, Instant, Share
from schemas.scored_face import ModelNames, Timings

SCORES = ("quality", "frontality", "symmetry", "resolution", "confidence")
# Fields of a scored event that a refused one lacks.
SCORED_HAS = ("detection_confidence", *SCORES, "formula_version", "model")


class ShadowScored(BaseModel):
    """One event, scored by the real models for comparison only; it is never an answer.

    The record key is ``event_id``. The record has no user, no embedding and no position in the
    picture, which a comparison of scores does not need. The scores are those of the most prominent
    face, to compare with the simulated answer of the same ``event_id``. An event that the real
    models would have refused has ``fallback_reason`` instead of scores.
    """

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False, title="shadow-scored")

    event_id: EventId = Field(description="The image-submitted event that was scored.")
    face_count: int = Field(ge=0, description="How many faces the answer would have had.")
    detection_confidence: Share | None = None
    quality: Share | None = None
    frontality: Share | None = None
    symmetry: Share | None = None
    resolution: Share | None = None
    confidence: Share | None = Field(
        default=None,
        description="How certain it is that this is a face, and one that can be compared.",
    )
    formula_version: str | None = Field(
        default=None, min_length=1, description="Version of the formulas behind the scores."
    )
    fallback_reason: Annotated[FallbackReason, Field(strict=False)] | None = Field(
        default=None, description="Why there are no real scores; null when there are."
    )
    model: ModelNames | None = None
    timings_ms: Timings | None = None
    scored_at: Instant

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        refused = self.fallback_reason is not None
        for name in SCORED_HAS:
            if (getattr(self, name) is None) != refused:
                raise inconsistent(
                    name,
                    "null, as there is a reason" if refused else "a value, as there is no reason",
                    "a value" if refused else "null",
                )
        if (self.face_count == 0) != refused:
            expected = "0, as there is a reason" if refused else "at least 1, as there is no reason"
            raise inconsistent("face_count", expected, self.face_count)
        return self

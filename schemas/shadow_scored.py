"""`shadow-scored`: the scores that the real models gave to an event that was answered simulated."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from schemas.fallback import FallbackReason
from schemas.field_types import EventId, Instant, Share
from schemas.scored_face import ModelNames, Timings

SCORES = ("quality", "frontality", "symmetry", "resolution", "confidence")
# What a scored event has and a refused one has not.
SCORED_HAS = ("detection_confidence", *SCORES, "formula_version", "model")


class ShadowScored(BaseModel):
    """One event, scored in the shadow: for comparison, never an answer.

    The record key is `event_id`. There is no user, no embedding and no place in the picture in
    it: a comparison of scores needs none of them. The scores are those of the most prominent
    face, which the simulated answer with the same `event_id` stands for. An event that the real
    models would have refused has `fallback_reason` in place of scores.
    """

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False, title="shadow-scored")

    event_id: EventId = Field(description="The image-submitted event that was scored.")
    face_count: int = Field(ge=0, description="How many faces would have been answered.")
    detection_confidence: Share | None = None
    quality: Share | None = None
    frontality: Share | None = None
    symmetry: Share | None = None
    resolution: Share | None = None
    confidence: Share | None = Field(default=None, description="The scores together.")
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
                raise _inconsistent(
                    name,
                    "null, as there is a reason" if refused else "a value, as there is no reason",
                    "a value" if refused else "null",
                )
        if (self.face_count == 0) != refused:
            expected = "0, as there is a reason" if refused else "at least 1, as there is no reason"
            raise _inconsistent("face_count", expected, self.face_count)
        return self


def _inconsistent(field: str, expected: str, found: object) -> PydanticCustomError:
    context = {"field": field, "expected": expected, "found": str(found)}
    return PydanticCustomError(
        "inconsistent", "{field}: expected {expected}, found {found}", context
    )

"""The older system's names for a result: for consumers that have not moved yet.

`RESULT_FORMAT=legacy` writes them beside ours in every scored-face event. Nothing of ours reads
them, so an event with them decodes like one without.
"""

from pydantic import BaseModel, ConfigDict, Field, JsonValue, computed_field

from schemas.field_types import EventId, Share
from schemas.scored_face import BoundingBox, Landmarks, ScoredFace

# In the schema only: pydantic's own mark would warn at every event that is written.
DEPRECATED: dict[str, JsonValue] = {"deprecated": True}


class DetectedFace(BaseModel):
    """A detected face as the older services write it, in `detectionData` and in the answer of
    detect-face. Source pixels after EXIF orientation; left and right as seen in the picture."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)

    bbox: BoundingBox
    landmarks: Landmarks
    confidence: Share = Field(description="How sure the detector is that it is a face.")


class LegacyScoredFace(ScoredFace):
    """A scored-face event with the older names beside ours."""

    @computed_field(  # type: ignore[prop-decorator]
        alias="faceId", description="Older name of face_id.", json_schema_extra=DEPRECATED
    )
    @property
    def older_face_id(self) -> EventId:
        """The older system made its own from embedding and face; ours is as unique, and stable."""
        return self.face_id

    @computed_field(  # type: ignore[prop-decorator]
        alias="detectionData",
        description="bounding_box, landmarks and detection_confidence under their older names; "
        "null for a face that is simulated.",
        json_schema_extra=DEPRECATED,
    )
    @property
    def older_detection(self) -> DetectedFace | None:
        """What the older detection service had answered."""
        if not (self.bounding_box and self.landmarks) or self.detection_confidence is None:
            return None
        return DetectedFace(
            bbox=self.bounding_box,
            landmarks=self.landmarks,
            confidence=self.detection_confidence,
        )

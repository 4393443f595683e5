"""The older system's names for a result, for consumers that still read them.

``RESULT_FORMAT=legacy`` adds them to every scored-face event. The decoder ignores them, so an event
with them decodes like one without.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, JsonValue, computed_field

from schemas.field_types import EventId, Share
from schemas.scored_face import BoundingBox, Landmarks, ScoredFace

# Only in the schema: pydantic's own ``deprecated`` would warn whenever an event is written.
DEPRECATED: dict[str, JsonValue] = {"deprecated": True}


class DetectedFace(BaseModel):
    """A detected face in the older services' shape: ``detectionData``, and detect-face's answer.

    Source pixels after EXIF orientation; left and right as seen when the face is upright.
    """

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)

    bbox: BoundingBox
    landmarks: Landmarks
    confidence: Share = Field(description="The detector's confidence that it is a face.")


class LegacyScoredFace(ScoredFace):
    """A scored-face event with the older names added."""

    @computed_field(  # type: ignore[prop-decorator]
        alias="faceId", description="Older name of face_id.", json_schema_extra=DEPRECATED
    )
    @property
    def older_face_id(self) -> EventId:
        """The same id as ``face_id``; the older system derived one from embedding and face."""
        return self.face_id

    @computed_field(  # type: ignore[prop-decorator]
        alias="detectionData",
        description="bounding_box, landmarks and detection_confidence under their older names; "
        "null for a simulated face.",
        json_schema_extra=DEPRECATED,
    )
    @property
    def older_detection(self) -> DetectedFace | None:
        """The detection in the shape of the older detection service."""
        if not (self.bounding_box and self.landmarks) or self.detection_confidence is None:
            return None
        return DetectedFace(
            bbox=self.bounding_box,
            landmarks=self.landmarks,
            confidence=self.detection_confidence,
        )

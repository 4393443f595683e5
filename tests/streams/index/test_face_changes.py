"""The change that a scored-face event makes to the index."""

from __future__ import annotations

import json

import pytest

from schemas.fallback import FallbackReason
from streams.index.face_changes import change_for
from streams.index.points import FacePoint, GoneFaces
from tests.streams.index.examples import scored, simulated


@pytest.mark.parametrize("reason", list(FallbackReason))
def test_simulated_scores_are_never_indexed(reason: FallbackReason) -> None:
    """Only the models' verdict that there is no face changes the index: it removes points."""
    event = simulated(reason)
    no_face = reason in (FallbackReason.NO_FACE, FallbackReason.LOW_CONFIDENCE)
    assert change_for(event) == (GoneFaces(str(event.event_id)) if no_face else None)


def test_a_point_names_its_user_its_event_and_its_models() -> None:
    """The payload holds what a search answers with."""
    event = scored(index=1)
    point = change_for(event)
    assert isinstance(point, FacePoint)
    assert (point.face_id, point.event_id) == (str(event.face_id), str(event.event_id))
    assert (point.user_id, point.face_index, point.face_count) == ("user-1", 1, 2)
    assert (point.collection, point.vector) == ("faces-sface-2", event.embedding)
    assert json.loads(json.dumps(point.payload)) == {
        "quality": 0.5,
        "confidence": 0.5,
        "image_sha256": "c" * 64,
        "scored_at": "2024-05-01T12:00:00+00:00",
        "formula_version": "1",
        "embedder_sha256": "b" * 64,
    }

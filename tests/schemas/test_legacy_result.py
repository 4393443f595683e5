"""RESULT_FORMAT=legacy adds the older names, for consumers that still read them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.codec import decode_scored_face, encode_scored_face
from tools.example_messages import example

#: The fields of the older worker's result; its consumers may read any of them.
OLDER_RESULT = {
    "embedding",
    "quality",
    "frontality",
    "symmetry",
    "resolution",
    "confidence",
    "faceId",
    "detectionData",
}


def _legacy(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The event of an example, without and with the older names."""
    record = decode_scored_face(example(f"scored-face/v1/{name}").value)
    plain = json.loads(encode_scored_face(record))
    return plain, json.loads(encode_scored_face(record, legacy=True))


@pytest.mark.parametrize("name", ["real", "second-of-two", "simulated", "simulated-minimal"])
def test_legacy_adds_and_changes_nothing_else(name: str) -> None:
    """Every current field is unchanged, and every field of the older result is present."""
    plain, legacy = _legacy(name)

    assert plain == {field: value for field, value in legacy.items() if field in plain}
    assert {"faceId", "detectionData"} == set(legacy) - set(plain)
    assert set(legacy) >= OLDER_RESULT


def test_the_older_names_hold_the_same_values() -> None:
    """Box, landmarks and confidence in the shapes of the older detection service."""
    plain, legacy = _legacy("real")

    assert plain["face_id"] == legacy["faceId"]
    assert {
        "bbox": plain["bounding_box"],
        "landmarks": plain["landmarks"],
        "confidence": plain["detection_confidence"],
    } == legacy["detectionData"]


def test_a_simulated_face_was_never_detected() -> None:
    """It has an id but no detection."""
    _, legacy = _legacy("simulated")

    assert legacy["faceId"]
    assert legacy["detectionData"] is None


@pytest.mark.parametrize("name", ["real", "simulated"])
def test_the_older_names_decode_to_the_same_record(name: str) -> None:
    """The decoder accepts both forms."""
    ours = decode_scored_face(example(f"scored-face/v1/{name}").value)

    assert ours == decode_scored_face(example(f"scored-face/v1/{name}-legacy").value)
    assert ours == decode_scored_face(encode_scored_face(ours, legacy=True))

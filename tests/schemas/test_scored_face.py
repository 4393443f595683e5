"""scored-face: exact numbers, consistent fields, and the size of a message."""

from __future__ import annotations

import json
import math
import random
import struct
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from pydantic import ValidationError

import schemas.codec
from schemas.codec import decode_scored_face, encode_scored_face
from schemas.errors import InvalidEvent
from schemas.fallback import FallbackReason
from schemas.scored_face import ScoredFace, face_id_of
from tools.example_messages import example

EVENT_ID = UUID("3f2b8c1e-9c1d-4f5e-8a44-0c9f6f3f7a10")


def _simulated(**fields: Any) -> ScoredFace:
    given: dict[str, Any] = {
        "event_id": EVENT_ID,
        "face_id": face_id_of(EVENT_ID, 0),
        "user_id": "u",
        "face_index": 0,
        "face_count": 1,
        "embedding": (),
        "embedding_size": 0,
        "quality": 0.5,
        "frontality": 0.5,
        "symmetry": 0.5,
        "resolution": 0.5,
        "confidence": 0.5,
        "formula_version": "1",
        "provenance": "simulated",
        "fallback_reason": FallbackReason.NO_FACE,
        "scored_at": datetime(2024, 5, 1, 12, tzinfo=UTC),
    }
    return ScoredFace(**(given | fields))


def _unit_vector(size: int, seed: int = 1) -> list[float]:
    numbers = random.Random(seed)
    values = [numbers.gauss(0, 1) for _ in range(size)]
    norm = math.sqrt(math.fsum(value * value for value in values))
    return [value / norm for value in values]


def test_face_ids_are_stable() -> None:
    """An id must never change: it is the id of the point in the index."""
    assert face_id_of(EVENT_ID, 0) == UUID("14d3ea39-645b-599a-a927-6da4f3e52f96")
    assert face_id_of(EVENT_ID, 0) != face_id_of(EVENT_ID, 1)


def test_float32_survives_exactly() -> None:
    """float32 values survive the wire, the smallest and largest included."""
    exact = [struct.unpack("f", struct.pack("f", value))[0] for value in _unit_vector(509)]
    exact += [1.401298464324817e-45, 3.4028234663852886e38, -0.0]
    face = _simulated(embedding=exact, embedding_size=512)
    read = decode_scored_face(encode_scored_face(face))

    assert tuple(exact) == face.embedding
    assert read == face
    assert struct.pack("512f", *exact) == struct.pack("512f", *read.embedding)


def test_float64_is_rounded_to_float32() -> None:
    """A float64 embedding becomes float32, so that it equals the decoded one."""
    face = _simulated(embedding=[0.1], embedding_size=1)

    assert face.embedding == (0.10000000149011612,)
    assert b'"embedding":[0.1]' in encode_scored_face(face)


def test_messages_are_small() -> None:
    """512 numbers take less than 8 kB."""
    face = _simulated(embedding=_unit_vector(512), embedding_size=512)

    assert len(encode_scored_face(face)) < 8_000


@pytest.mark.parametrize("name", ["real", "simulated", "microseconds", "non_ascii"])
def test_encoding_equals_pydantics(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fast encoder writes the same fields in the same order with the same values."""
    faces = {
        "real": decode_scored_face(example("scored-face/v1/learned-quality").value),
        "simulated": _simulated(embedding=_unit_vector(128), embedding_size=128),
        "microseconds": _simulated(scored_at=datetime(2024, 5, 1, 12, 0, 0, 30, tzinfo=UTC)),
        "non_ascii": _simulated(user_id="Zoë😀", metadata={"é": ["\u2028", 1e300, -0.0]}),
    }
    face = faces[name]
    expected = json.loads(face.model_dump_json())
    monkeypatch.setattr(schemas.codec, "_SCORED_FACE", None)
    encoded = json.loads(encode_scored_face(face))

    assert repr(encoded) == repr(expected)
    assert np.array_equal(np.array(encoded["embedding"], "f"), np.array(face.embedding, "f"))


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e39, True, "0.5", None])
def test_embedding_holds_finite_numbers_only(value: object) -> None:
    """A value that is not a float32 is refused; the error names the field."""
    with pytest.raises(ValidationError, match="embedding"):
        _simulated(embedding=[value], embedding_size=1)


@pytest.mark.parametrize("name", ["real", "second-of-two", "simulated", "simulated-minimal"])
def test_examples_round_trip(name: str) -> None:
    """Decoding, encoding and decoding again gives the same record."""
    face = decode_scored_face(example(f"scored-face/v1/{name}").value)

    assert decode_scored_face(encode_scored_face(face)) == face


def test_all_fields_are_written() -> None:
    """Consumers find exactly the fields of the record, null for those without a value."""
    value = json.loads(encode_scored_face(_simulated()))

    assert set(ScoredFace.model_fields) == set(value)
    assert value["measures"]["yaw"] is None
    assert value["scored_at"] == "2024-05-01T12:00:00Z"


def test_fields_of_a_newer_worker_are_ignored() -> None:
    """Adding a field to the contract breaks no reader."""
    face = _simulated()
    value = json.loads(encode_scored_face(face)) | {"age": 30}

    assert decode_scored_face(json.dumps(value).encode()) == face


@pytest.mark.parametrize("whole", [1, 2**63, 10**30])
def test_metadata_keeps_its_types(whole: int) -> None:
    """Integers stay integers and floats stay floats, however large."""
    metadata = {"whole": whole, "float": 1.0, "list": [True, None, "1"]}
    read = decode_scored_face(encode_scored_face(_simulated(metadata=metadata)))

    assert repr(metadata) == repr(read.metadata)


def test_metadata_that_is_not_json_is_refused() -> None:
    """A record that could not be decoded cannot be created."""
    with pytest.raises(ValidationError, match="finite number"):
        _simulated(metadata={"ratio": math.nan})


def test_the_record_is_frozen() -> None:
    """A record cannot change after creation."""
    with pytest.raises(ValidationError, match="frozen"):
        _simulated().quality = 1.0  # type: ignore[misc]


@pytest.mark.parametrize("value", [None, b"", b"[]", b"\xff", b"[" * 1_000_000])
def test_bytes_without_a_record_are_an_error(value: bytes | None) -> None:
    """Any other bytes raise ``InvalidEvent``."""
    with pytest.raises(InvalidEvent, match=r"^value: expected"):
        decode_scored_face(value)

"""The examples are the contract: valid ones decode, invalid ones have the expected error."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from schemas.codec import (
    decode_image_submitted,
    decode_scored_face,
    decode_shadow_scored,
    identify,
)
from schemas.errors import InvalidEvent
from schemas.fallback import FallbackHeaders
from schemas.json_schema import SCHEMAS
from tools.example_messages import FOLDER, Example, examples

DECODERS: dict[str, Callable[[Example], object]] = {
    "image-submitted": lambda e: decode_image_submitted(e.value, e.key, e.headers),
    "scored-face": lambda e: decode_scored_face(e.value),
    "shadow-scored": lambda e: decode_shadow_scored(e.value),
    "simulated-fallback": lambda e: FallbackHeaders.from_headers(e.headers),
}
VALID = [(topic, example) for topic in DECODERS for example in examples(topic, "v1")]
INVALID = [(topic, example) for topic in DECODERS for example in examples(topic, "invalid")]


def _name(argument: object) -> str | None:
    return argument.name if isinstance(argument, Example) else None


@pytest.mark.parametrize(("topic", "example"), VALID, ids=_name)
def test_valid_example_decodes(topic: str, example: Example) -> None:
    """Every example under v1 is accepted."""
    assert DECODERS[topic](example) is not None


@pytest.mark.parametrize(("topic", "example"), INVALID, ids=_name)
def test_invalid_example_has_the_expected_error(topic: str, example: Example) -> None:
    """Every example under invalid is refused with the error text in its file."""
    with pytest.raises(InvalidEvent) as refusal:
        DECODERS[topic](example)

    assert example.content["expected_error"] in str(refusal.value)


@pytest.mark.parametrize("example", examples("image-submitted", "invalid"), ids=_name)
def test_errors_never_quote_a_picture(example: Example) -> None:
    """No error text contains more than a few characters of the picture."""
    with pytest.raises(InvalidEvent) as refusal:
        decode_image_submitted(example.value, example.key, example.headers)

    assert "iVBORw0" not in str(refusal.value)
    assert "\\x89PNG" not in str(refusal.value)


@pytest.mark.parametrize("example", examples("image-submitted", "v1"), ids=_name)
def test_identify_agrees_with_decode(example: Example) -> None:
    """For a valid event, ``identify`` returns the values of the record."""
    record = decode_image_submitted(example.value, example.key, example.headers)
    identity = identify(example.value, example.key, example.headers)

    assert identity is not None
    assert (record.event_id, record.user_id, record.submitted_at, record.metadata) == (
        identity.event_id,
        identity.user_id,
        identity.submitted_at,
        identity.metadata,
    )


def test_every_topic_has_examples_and_every_example_a_topic() -> None:
    """Every topic has valid and invalid examples, and a test reads every file."""
    read = {example.path for _, example in [*VALID, *INVALID]}
    committed = {path for path in FOLDER.rglob("*") if path.is_file()} - {FOLDER / "README.md"}

    assert committed == read
    assert set(SCHEMAS) == set(DECODERS)
    assert set(SCHEMAS) == {topic for topic, _ in VALID}
    assert set(SCHEMAS) == {topic for topic, _ in INVALID}

"""The committed JSON Schema files: generated, current, and consistent with the decoder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from schemas.generate import FOLDER, main
from schemas.image_submitted import EXPECTED, ImageSubmitted
from schemas.json_schema import SCHEMAS
from tools.example_messages import Example, examples

JUDGED = [
    (topic, example)
    for topic in SCHEMAS
    for kind in ("v1", "invalid")
    for example in examples(topic, kind)
    if topic == "simulated-fallback" or "value" in example.content
]


def _committed(topic: str) -> dict[str, Any]:
    text = (FOLDER / f"{topic}.v1.schema.json").read_text("utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def _validated_part(topic: str, example: Example) -> object:
    if topic == "simulated-fallback":
        return example.content["headers"]
    return example.content["value"]


def _refuses(topic: str, value: object) -> bool:
    return not Draft202012Validator(_committed(topic)).is_valid(value)


@pytest.mark.parametrize(
    ("topic", "example"), JUDGED, ids=lambda a: a.name if isinstance(a, Example) else None
)
def test_schema_agrees_with_the_example(topic: str, example: Example) -> None:
    """Valid examples validate; an invalid one fails if its file says so."""
    expected = example.path.parent.name == "invalid" and example.content["schema_refuses"]

    assert expected == _refuses(topic, _validated_part(topic, example))


@pytest.mark.parametrize("topic", SCHEMAS)
def test_committed_schema_is_valid(topic: str) -> None:
    """Each file is a schema of its draft, and each field of image-submitted has a description."""
    schema = _committed(topic)

    Draft202012Validator.check_schema(schema)
    assert schema["description"]
    if topic == "image-submitted":
        assert [
            name for name, field in schema["properties"].items() if "description" not in field
        ] == []


def test_committed_schemas_are_current() -> None:
    """The committed files are those that the records generate."""
    assert main(["--check"]) == 0


def test_check_names_the_file_that_drifted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--check fails and names a changed, a missing and an extra file."""
    main([], tmp_path)
    assert main(["--check"], tmp_path) == 0

    (tmp_path / "scored-face.v1.schema.json").write_text("{}")
    (tmp_path / "simulated-fallback.v1.schema.json").unlink()
    (tmp_path / "stranger.v1.schema.json").write_text("{}")

    assert main(["--check"], tmp_path) == 1
    printed = capsys.readouterr().out
    assert "scored-face.v1.schema.json" in printed
    assert "simulated-fallback.v1.schema.json" in printed
    assert "stranger.v1.schema.json" in printed
    assert "image-submitted" not in printed


def test_every_field_has_its_own_error_message() -> None:
    """EXPECTED has an entry per field; without one, errors would use pydantic's words."""
    wire_names = {
        field.validation_alias or name for name, field in ImageSubmitted.model_fields.items()
    }

    assert wire_names == set(EXPECTED)

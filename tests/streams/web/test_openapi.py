"""The OpenAPI document: generated from the records, committed, and valid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from streams.web.openapi import COMMITTED, main, openapi_document


def test_the_committed_document_is_current() -> None:
    """The records have not changed since it was written."""
    assert 0 == main(["--check"])
    assert json.loads(COMMITTED.read_text()) == openapi_document()


def test_drift_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For a missing file and a changed one; writing it again removes the drift."""
    path = tmp_path / "openapi" / "document.json"
    assert 1 == main(["--check"], path)
    assert 0 == main([], path)
    assert 0 == main(["--check"], path)
    path.write_text("{}")
    assert 1 == main(["--check"], path)
    assert "document.json" in capsys.readouterr().out


def _references(value: Any) -> set[str]:
    if isinstance(value, dict):
        found = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return found.union(*map(_references, value.values()))
    return set().union(*map(_references, value)) if isinstance(value, list) else set()


def test_every_reference_resolves() -> None:
    """To a component of the document."""
    document = openapi_document()
    for reference in _references(document):
        place: Any = document
        for name in reference.removeprefix("#/").split("/"):
            place = place[name]
        assert isinstance(place, dict)


@pytest.mark.parametrize("name", sorted(openapi_document()["components"]["schemas"]))
def test_every_component_is_a_valid_schema(name: str) -> None:
    """In the draft that OpenAPI 3.1 uses."""
    Draft202012Validator.check_schema(openapi_document()["components"]["schemas"][name])

"""The JSON Schema of each topic: generated from its record, plus what only the wire has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from schemas.event_metadata import METADATA_NAMES
from schemas.fallback import FallbackHeaders
from schemas.image_submitted import ImageSubmitted
from schemas.json_event import NAMES
from schemas.legacy_result import LegacyScoredFace
from schemas.scored_face import REAL_HAS, ScoredFace
from schemas.shadow_scored import SCORED_HAS, ShadowScored

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}

# The names that RESULT_FORMAT=legacy adds to scored-face.
LEGACY_NAMES = tuple(
    field.alias or name for name, field in LegacyScoredFace.model_computed_fields.items()
)


def image_submitted_schema() -> Schema:
    """Return the schema of image-submitted's JSON form, including the older names."""
    schema = _schema_of(ImageSubmitted, "image-submitted")
    properties: Schema = schema["properties"]
    for name, field in properties.items():
        if name != "user_id" and {"type": "null"} not in field.get("anyOf", []):
            properties[name] = _or_null(field)
    properties |= _older_properties(properties)
    # The record requires both; on the wire one is derived and one may be the record key.
    schema["required"] = []
    is_uri = {"properties": {"isBase64": {"const": False}}, "required": ["isBase64"]}
    schema["if"] = is_uri
    schema["then"] = {"properties": {"image": {"anyOf": properties["image_uri"]["anyOf"]}}}
    schema["else"] = {"properties": {"image": {"anyOf": properties["image_base64"]["anyOf"]}}}
    schema["oneOf"] = [
        {
            "title": "The picture itself",
            "anyOf": [
                _given("image_base64"),
                _given("imageBase64"),
                _given("image") | {"not": is_uri},
            ],
        },
        {
            "title": "Where the picture is",
            "anyOf": [_given("image_uri"), {"allOf": [_given("image"), is_uri]}],
        },
    ]
    schema["additionalProperties"] = True
    return schema


def _older_properties(properties: Schema) -> Schema:
    """Return the properties of the older names, from those of the current ones."""
    older = {
        name: _older(properties[names[0]], names[0])
        for names in NAMES.values()
        for name in names[1:]
    }
    older["timestamp"]["anyOf"].append({"type": "number"})
    older["timestamp"]["description"] += " Also milliseconds since 1970."
    older["image"] = {
        "description": "Older name of image_base64, or, with isBase64 false, of image_uri.",
        "deprecated": True,
    }
    older["isBase64"] = {
        "anyOf": [{"type": "boolean"}, {"type": "null"}],
        "description": "What the older field image holds: base64 (true, or absent) or a URI.",
        "deprecated": True,
    }
    for name, current in METADATA_NAMES.items():
        older[name] = {"description": f"Stored in metadata as {current}.", "deprecated": True}
    return older


def scored_face_schema() -> Schema:
    """Return the schema of scored-face's value, including the optional older names."""
    schema = _schema_of(ScoredFace, "scored-face")
    older = LegacyScoredFace.model_json_schema(mode="serialization")
    schema["$defs"] = {**older["$defs"], **schema["$defs"]}
    for name in LEGACY_NAMES:
        schema["properties"][name] = older["properties"][name]
        del schema["properties"][name]["readOnly"]  # pydantic marks computed fields with it
    schema["if"] = {"properties": {"provenance": {"const": "real"}}}
    schema["then"] = {
        "properties": {name: {"type": "object"} for name in REAL_HAS}
        | {"fallback_reason": {"type": "null"}, "embedding": {"minItems": 1}},
        "required": list(REAL_HAS),
    }
    schema["else"] = {
        "properties": {"fallback_reason": {"type": "string"}},
        "required": ["fallback_reason"],
    }
    return schema


def simulated_fallback_schema() -> Schema:
    """Return the schema of simulated-fallback's headers, an object of texts; others are allowed."""
    return _schema_of(FallbackHeaders, "simulated-fallback") | {"additionalProperties": True}


def shadow_scored_schema() -> Schema:
    """Return the schema of shadow-scored's value."""
    schema = _schema_of(ShadowScored, "shadow-scored")
    schema["if"] = _given("fallback_reason")
    schema["then"] = {
        "properties": {name: {"type": "null"} for name in SCORED_HAS}
        | {"face_count": {"const": 0}},
    }
    schema["else"] = {
        "properties": {name: {"not": {"type": "null"}} for name in SCORED_HAS}
        | {"face_count": {"minimum": 1}},
        "required": list(SCORED_HAS),
    }
    return schema


SCHEMAS: Mapping[str, Callable[[], Schema]] = MappingProxyType(
    {
        "image-submitted": image_submitted_schema,
        "scored-face": scored_face_schema,
        "simulated-fallback": simulated_fallback_schema,
        "shadow-scored": shadow_scored_schema,
    }
)


def _schema_of(record: type[BaseModel], topic: str) -> Schema:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:facestream:{topic}:v1",
        **record.model_json_schema(by_alias=True),
    }


def _given(name: str) -> Schema:
    return {"properties": {name: _TEXT}, "required": [name]}


def _or_null(schema: Schema) -> Schema:
    """Allow null in the schema; title, description and the like stay outside."""
    outside = ("title", "description", "examples", "default")
    inner = {key: value for key, value in schema.items() if key not in outside}
    return {
        "anyOf": [inner, {"type": "null"}],
        **{key: value for key, value in schema.items() if key in outside},
    }


def _older(schema: Schema, current: str) -> Schema:
    """Return the schema of an older name of a field."""
    kept = {
        key: list(value) if isinstance(value, list) else value
        for key, value in schema.items()
        if key not in ("title", "description", "examples", "default")
    }
    return {**kept, "description": f"Older name of {current}.", "deprecated": True}

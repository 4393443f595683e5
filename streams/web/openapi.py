"""The OpenAPI document of the HTTP API: ``python -m streams.web.openapi [--check]``.

It is generated from the records in ``schemas.http_api``. The worker serves it at
``/api/openapi.json``; the committed copy in docs/openapi is for readers.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from schemas.http_api import (
    DetectFaceAnswer,
    DetectFaceRequest,
    ExtractEmbeddingAnswer,
    ExtractEmbeddingRequest,
    Failure,
    HealthAnswer,
    MlStatusAnswer,
    ScorePending,
)
from schemas.json_schema import image_submitted_schema, scored_face_schema
from streams.web.answers import JSON_TYPE

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi" / "facestream.v1.json"

Json = dict[str, Any]

DESCRIPTION = """\
The HTTP API of a worker, for clients of the older detection and embedding services and for apps
that cannot speak Kafka. A failure is `{"success": false, "message": …}`. A request's body is JSON
with the content type application/json; the content encodings gzip and deflate are accepted. If
API_TOKEN is set, every request must carry it as a bearer token.
"""

#: The names of image-submitted that the document of /api/score describes.
SCORE_FIELDS = (
    "userId",
    "nftVerified",
    "wldVerified",
    "useRealML",
    "event_id",
    "min_confidence",
    "max_faces",
    "metadata",
)

RETRY_AFTER: Json = {
    "description": "Seconds to wait before a retry.",
    "schema": {"type": "integer", "minimum": 1},
}
FAILURES: Mapping[int, str] = {
    400: "The body is not JSON, breaks this contract, or its picture cannot be decoded.",
    401: "API_TOKEN is set, and the header Authorization does not carry it.",
    408: "The body did not arrive in time.",
    413: "The body or the picture is too large.",
    415: "The content type is not application/json.",
    422: "The picture can be decoded, but no face in it meets the request.",
    500: "The model failed, or another internal error.",
    503: "The worker is full or not ready; the same request may succeed soon.",
}
PICTURE_FAILURES = (400, 401, 408, 413, 415, 500, 503)


def openapi_document() -> Json:
    """Build the OpenAPI document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "facestream",
            "version": "1",
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": _paths(),
        "components": {
            "schemas": _components(),
            "responses": {_failure_name(code): _failure(code) for code in FAILURES},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "API_TOKEN"}
            },
        },
        # No token, or one: a worker without API_TOKEN requires none.
        "security": [{}, {"token": []}],
    }


def _paths() -> Json:
    score = _post(
        "Publish an image-submitted event, wait for its scored-face events, and return those.",
        "ScoreRequest",
        {200: ("ScoreAnswer", "The picture's faces."), 202: ("ScorePending", "Not scored yet.")},
        (*PICTURE_FAILURES, 422),
    )
    return {
        "/api/detect-face": _post(
            "Every face of a picture, the most prominent first.",
            "DetectFaceRequest",
            {200: ("DetectFaceAnswer", "The faces; a picture may have none.")},
            PICTURE_FAILURES,
        ),
        "/api/extract-embedding": _post(
            "The embedding of a picture's most prominent face, or of an aligned crop.",
            "ExtractEmbeddingRequest",
            {200: ("ExtractEmbeddingAnswer", "The embedding.")},
            (*PICTURE_FAILURES, 422),
        ),
        "/api/score": score,
        "/api/attractiveness/score": {
            "post": {
                **score["post"],
                "deprecated": True,
                "summary": "The older name of /api/score.",
            }
        },
        "/api/health": _get(
            "Whether both models work, tested on a built-in picture.",
            {
                200: ("HealthAnswer", "Both models work."),
                503: ("HealthAnswer", "A model failed, or did not answer in time."),
            },
        ),
        "/api/ml-status": _get(
            "The state of the models in the older app's shape; always 200.",
            {200: ("MlStatusAnswer", "The state of the models.")},
        ),
    }


def _post(
    summary: str, request: str, answers: Mapping[int, tuple[str, str]], failures: Sequence[int]
) -> Json:
    return {
        "post": {
            "summary": summary,
            "requestBody": {"required": True, "content": _content(request)},
            "responses": _responses(answers, failures),
        }
    }


def _get(summary: str, answers: Mapping[int, tuple[str, str]]) -> Json:
    return {"get": {"summary": summary, "responses": _responses(answers, (401,))}}


def _responses(answers: Mapping[int, tuple[str, str]], failures: Sequence[int]) -> Json:
    given: dict[int, Json] = {
        code: {"description": description, "content": _content(name)}
        for code, (name, description) in answers.items()
    }
    given |= {code: _ref("responses", _failure_name(code)) for code in failures}
    return {str(code): given[code] for code in sorted(given)}


def _failure_name(code: int) -> str:
    return f"Failure{code}"


def _failure(code: int) -> Json:
    headers = {"headers": {"Retry-After": RETRY_AFTER}} if code == 503 else {}
    return {"description": FAILURES[code], **headers, "content": _content("Failure")}


def _content(schema: str) -> Json:
    return {JSON_TYPE: {"schema": _ref("schemas", schema)}}


def _ref(kind: str, name: str) -> Json:
    return {"$ref": f"#/components/{kind}/{name}"}


def _components() -> Json:
    requests: list[type[BaseModel]] = [DetectFaceRequest, ExtractEmbeddingRequest]
    answers: list[type[BaseModel]] = [
        Failure,
        DetectFaceAnswer,
        ExtractEmbeddingAnswer,
        HealthAnswer,
        MlStatusAnswer,
        ScorePending,
    ]
    modes: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        *((record, "validation") for record in requests),
        *((record, "serialization") for record in answers),
    ]
    _, made = models_json_schema(modes, ref_template="#/components/schemas/{model}")
    schemas: Json = made["$defs"]
    for request in requests:
        schemas[request.__name__]["properties"]["image"] |= PICTURE
    scored_face = _relocated(scored_face_schema())
    schemas |= scored_face.pop("$defs")
    schemas["ScoredFace"] = scored_face
    schemas["ScoreRequest"] = _score_request()
    schemas["ScoreAnswer"] = _score_answer()
    return dict(sorted(schemas.items()))


#: A custom format: tests that generate requests use it to find the fields that hold a picture.
PICTURE: Json = {"format": "picture-base64"}


def _score_request() -> Json:
    whole = _relocated(image_submitted_schema())["properties"]
    picture = next(one for one in whole["image_base64"]["anyOf"] if one.get("type") == "string")
    fields = {name: _without(whole[name], "deprecated") for name in SCORE_FIELDS}
    description = (
        "The picture's file in base64, or a data URL. With isBase64 false: the picture's URI."
    )
    return {
        "title": "ScoreRequest",
        "description": "An image-submitted event under the older names. Every other JSON form of "
        "that event is accepted too: see schemas/json/image-submitted.v1.schema.json.",
        "type": "object",
        "properties": {
            "userId": fields.pop("userId"),
            "image": {**picture, **PICTURE, "description": description},
            **fields,
        },
        "required": ["userId", "image"],
    }


def _score_answer() -> Json:
    face = _ref("schemas", "ScoredFace")
    others: Json = {
        "type": "array",
        "items": face,
        "description": "The other faces, up to max_faces.",
    }
    return {
        "title": "ScoreAnswer",
        "description": "The scored-face events of a picture. A picture that cannot be scored also "
        "has one: its provenance is simulated, and its fallback_reason says why.",
        "type": "object",
        "properties": {
            "success": {"const": True},
            "event_id": {"type": "string", "format": "uuid"},
            "data": face | {"description": "The most prominent face."},
            "other_faces": others,
        },
        "required": ["success", "event_id", "data", "other_faces"],
    }


def _without(schema: Json, name: str) -> Json:
    return {key: value for key, value in schema.items() if key != name}


def _relocated(schema: Json) -> Json:
    """Return a topic's schema as a component, its definitions as components beside it."""
    text = json.dumps(schema).replace("#/$defs/", "#/components/schemas/")
    relocated: Json = json.loads(text)
    del relocated["$schema"], relocated["$id"]
    return relocated


def main(arguments: Sequence[str] | None = None, path: Path = COMMITTED) -> int:
    """Write the document, or compare it with ``--check``. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m streams.web.openapi", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="compare the committed document, write nothing"
    )
    text = json.dumps(openapi_document(), indent=2, ensure_ascii=False) + "\n"
    if parser.parse_args(arguments).check:
        if path.is_file() and path.read_text("utf-8") == text:
            return 0
        print(f"{path.name}: differs from the records; run python -m streams.web.openapi")
        return 1
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

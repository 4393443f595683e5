"""The OpenAPI document of the HTTP API: ``python -m streams.web.openapi [--check]``.

Made from the records in ``schemas.http_api``; the committed copy is for readers, the worker serves
the same at ``/api/openapi.json``.
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
What the worker's web port answers to clients of the older detection and embedding services, and
to apps that cannot speak Kafka. A failure is `{"success": false, "message": …}`. Bodies are JSON
and say so in their content type; they may be packed by gzip or deflate. Where API_TOKEN is set,
every call wants it.
"""

#: Of image-submitted's names, those that a caller of /api/score needs to know.
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
    "description": "Seconds after which to try again.",
    "schema": {"type": "integer", "minimum": 1},
}
FAILURES: Mapping[int, str] = {
    400: "The body is no JSON, breaks this contract, or holds no picture that can be read.",
    401: "API_TOKEN is set, and the header Authorization does not bring it.",
    408: "The body did not arrive in time.",
    413: "The body or the picture is too large.",
    415: "The content type is not application/json.",
    422: "The picture can be read, but there is nothing in it to answer with.",
    500: "The model failed, or we did.",
    503: "Too much to do, or not ready; the same request may succeed soon.",
}
OF_A_PICTURE = (400, 401, 408, 413, 415, 500, 503)


def openapi_document() -> Json:
    """The whole document."""
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
        # Either: a worker without API_TOKEN asks for none.
        "security": [{}, {"token": []}],
    }


def _paths() -> Json:
    score = _post(
        "Publish image-submitted, wait for its scored-face, and return that.",
        "ScoreRequest",
        {200: ("ScoreAnswer", "The picture's faces."), 202: ("ScorePending", "Not scored yet.")},
        (*OF_A_PICTURE, 422),
    )
    return {
        "/api/detect-face": _post(
            "Every face of a picture, the most prominent first.",
            "DetectFaceRequest",
            {200: ("DetectFaceAnswer", "The faces; none is an answer too.")},
            OF_A_PICTURE,
        ),
        "/api/extract-embedding": _post(
            "The embedding of a picture's most prominent face, or of an aligned crop.",
            "ExtractEmbeddingRequest",
            {200: ("ExtractEmbeddingAnswer", "The embedding.")},
            (*OF_A_PICTURE, 422),
        ),
        "/api/score": score,
        "/api/attractiveness/score": {
            "post": {**score["post"], "deprecated": True, "summary": "Older name of /api/score."}
        },
        "/api/health": _get(
            "Whether the models answer, asked of themselves on a built-in picture.",
            {
                200: ("HealthAnswer", "Both do."),
                503: ("HealthAnswer", "One does not, or not in time."),
            },
        ),
        "/api/ml-status": _get(
            "The same in the older app's shape; 200 whatever it says.",
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


#: A format of our own: whoever makes pictures for tests can tell where one belongs.
PICTURE: Json = {"format": "picture-base64"}


def _score_request() -> Json:
    whole = _relocated(image_submitted_schema())["properties"]
    picture = next(one for one in whole["image_base64"]["anyOf"] if one.get("type") == "string")
    fields = {name: _without(whole[name], "deprecated") for name in SCORE_FIELDS}
    description = (
        "The picture's file in base64, or a data URL. With isBase64 false: where it is, as a URI."
    )
    return {
        "title": "ScoreRequest",
        "description": "An image-submitted event in the older names. Any other JSON form of that "
        "event is taken as well: see schemas/json/image-submitted.v1.schema.json.",
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
        "description": "Those beside it, where max_faces asked for more.",
    }
    return {
        "title": "ScoreAnswer",
        "description": "The scored-face events of a picture. A picture that cannot be scored has "
        "one too: its provenance is simulated, and its fallback_reason says why.",
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
    """A topic's schema as a component: its definitions are components too."""
    text = json.dumps(schema).replace("#/$defs/", "#/components/schemas/")
    relocated: Json = json.loads(text)
    del relocated["$schema"], relocated["$id"]
    return relocated


def main(arguments: Sequence[str] | None = None, path: Path = COMMITTED) -> int:
    """Write the document, or with --check only compare it. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m streams.web.openapi", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say whether it drifted")
    text = json.dumps(openapi_document(), indent=2, ensure_ascii=False) + "\n"
    if parser.parse_args(arguments).check:
        if path.is_file() and path.read_text("utf-8") == text:
            return 0
        print(f"{path.name}: not as the records make it; run python -m streams.web.openapi")
        return 1
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""JSON answers."""

from __future__ import annotations

from http import HTTPStatus

import orjson
from aiohttp import web
from pydantic import BaseModel

JSON_TYPE = "application/json"


def json_answer(value: object, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    """Return an answer with any value that JSON can express."""
    return web.Response(
        body=orjson.dumps(value), content_type=JSON_TYPE, charset="utf-8", status=status
    )


def record_answer(record: BaseModel, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    """Return an answer with a record under its names on the wire, without fields that are None."""
    text = record.model_dump_json(by_alias=True, exclude_none=True)
    return web.Response(text=text, content_type=JSON_TYPE, status=status)

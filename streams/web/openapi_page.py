"""``/api/openapi.json``: the contract of the HTTP API."""

from __future__ import annotations

from functools import cache

from aiohttp import web

from streams.web.answers import json_answer
from streams.web.openapi import Json, openapi_document


async def openapi(_: web.Request) -> web.Response:
    """Answer with the OpenAPI document, equal to the committed one."""
    return json_answer(_document())


@cache
def _document() -> Json:
    return openapi_document()

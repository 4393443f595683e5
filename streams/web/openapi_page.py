"""The contract of the HTTP API, for machines."""

from __future__ import annotations

from functools import cache
from typing import Any

from streams.app import app
from streams.web.api_view import ApiView
from streams.web.openapi import openapi_document


@cache
def document() -> dict[str, Any]:
    """Made once, when it is first asked for."""
    return openapi_document()


@app.page("/api/openapi.json")
class OpenApi(ApiView):
    """The OpenAPI document."""

    async def get(self, request: Any) -> Any:
        """The same as the committed one."""
        return self.json(document())

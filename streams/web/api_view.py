"""What the pages of the HTTP API share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, TypeVar

from aiohttp import web
from faust.web import View
from faust.web.exceptions import WebError
from pydantic import BaseModel

from schemas.http_api import RequestBody, read_request
from streams.app import app
from streams.errors import Busy
from streams.web.admission import Admission
from streams.web.requests import JSON_TYPE, Refusal, body_limit, declared_size, read_body

Request = TypeVar("Request", bound=RequestBody)

#: What all pages together may hold while requests are read and worked on.
admission = Admission(
    max_requests=app.settings.http_pending,
    max_bytes=app.settings.max_in_flight_mb * 1024 * 1024,
)


class ApiView(View):  # type: ignore[misc]  # faust ships no usable hints
    """A page whose answers are records, and whose failures the ``api_failures`` answer."""

    async def on_request_error(self, request: Any, exc: WebError) -> Any:
        """A method that the page has not."""
        allowed = ", ".join(sorted(self.get_methods() - {"HEAD"}))
        status = HTTPStatus(exc.code)
        headers = {"Allow": allowed} if status == HTTPStatus.METHOD_NOT_ALLOWED else {}
        raise Refusal(status, exc.detail, headers)

    def answer(self, record: BaseModel, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
        """A record under its names on the wire; what is None is left out."""
        text = record.model_dump_json(by_alias=True, exclude_none=True)
        return web.Response(text=text, content_type=JSON_TYPE, status=status)


@contextlib.contextmanager
def admitted(request: web.Request, limit: int | None = None) -> Iterator[None]:
    """Hold a place for a request while it is read and worked on. Raises ``Busy``, ``Refusal``.

    ``limit``: most bytes of its body, where that is not ``body_limit``.
    """
    size = declared_size(request, body_limit(app.settings) if limit is None else limit)
    if app.should_stop:
        raise Busy("this worker is stopping; try again")
    if not app.runtime.pool.ready:
        raise Busy("the models are being loaded; try again soon")
    with admission.admit(size):
        yield


async def asked(kind: type[Request], request: web.Request) -> Request:
    """The record in a request's body. Raises ``Refusal`` or ``InvalidEvent``."""
    return read_request(kind, await read_body(request, app.settings))

"""Failures as HTTP answers: the status of each error, and the shape of its body.

Below ``/api/`` a failure is ``{"success": false, "message": …}``, as clients of the older services
expect. Below ``/index`` it is ``{"error": …}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from models.errors import (
    ImageTooLarge,
    InferenceTerminated,
    LowConfidence,
    ModelsError,
    NoFaceFound,
    UnreadableImage,
)
from schemas.errors import InvalidEvent
from schemas.http_api import Failure
from streams.errors import Busy, InferenceTimeout, StreamsError
from streams.index.errors import IndexRejected, VectorIndexError
from streams.web.answers import json_answer

log = structlog.get_logger(__name__)

API = "/api/"
INDEX = "/index"
RETRY_AFTER_S = 1

#: The status of each error below ``/api/``; the first class that fits counts.
STATUSES: Mapping[type[Exception], HTTPStatus] = {
    InvalidEvent: HTTPStatus.BAD_REQUEST,
    UnreadableImage: HTTPStatus.BAD_REQUEST,
    ImageTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    # The request is valid and so is its picture, but no usable face is in it.
    NoFaceFound: HTTPStatus.UNPROCESSABLE_ENTITY,
    LowConfidence: HTTPStatus.UNPROCESSABLE_ENTITY,
    Busy: HTTPStatus.SERVICE_UNAVAILABLE,
    InferenceTimeout: HTTPStatus.SERVICE_UNAVAILABLE,
    InferenceTerminated: HTTPStatus.SERVICE_UNAVAILABLE,
    ModelsError: HTTPStatus.INTERNAL_SERVER_ERROR,
}


class Refusal(StreamsError):
    """A request that is refused with ``status``; the message says what the caller can do."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


def failure_response(
    status: HTTPStatus, message: str, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return a failure below ``/api/``; a 503 says when to try again."""
    given = dict(headers or {})
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        given["Retry-After"] = str(RETRY_AFTER_S)
    return web.json_response(
        text=Failure(message=message).model_dump_json(), status=status, headers=given
    )


@web.middleware
async def api_failures(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error below ``/api/`` in the shape of ``Failure``."""
    if not request.path.startswith(API):
        return await handler(request)
    try:
        return await handler(request)
    except Refusal as refusal:
        return failure_response(refusal.status, str(refusal))
    except tuple(STATUSES) as error:
        status = next(code for kind, code in STATUSES.items() if isinstance(error, kind))
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            log.warning("request failed", path=request.path, reason=str(error))
        return failure_response(status, str(error))
    except web.HTTPException as error:
        return _routing_failure(request, error)
    except Exception:
        log.exception("request failed", path=request.path)
        return failure_response(
            HTTPStatus.INTERNAL_SERVER_ERROR, "internal error; the worker's log has the details"
        )


@web.middleware
async def index_failures(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer errors below ``/index``: 400 for a wrong query, 503 while the index is unavailable."""
    if not request.path.startswith(INDEX):
        return await handler(request)
    try:
        return await handler(request)
    except Refusal as refusal:
        return json_answer({"error": str(refusal)}, refusal.status)
    except (InvalidEvent, IndexRejected) as error:
        return json_answer({"error": str(error)}, HTTPStatus.BAD_REQUEST)
    except (Busy, VectorIndexError) as error:
        return json_answer({"error": str(error)}, HTTPStatus.SERVICE_UNAVAILABLE)


def _routing_failure(request: web.Request, error: web.HTTPException) -> web.Response:
    """Return the failure for an error of aiohttp's own, such as an unknown page or method."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return failure_response(
            HTTPStatus.METHOD_NOT_ALLOWED,
            f"{request.path} takes {allowed}, not {request.method}",
            {"Allow": allowed},
        )
    status = HTTPStatus(error.status)
    message = f"no page {request.path}" if status == HTTPStatus.NOT_FOUND else error.reason
    return failure_response(status, message)

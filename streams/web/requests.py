"""Requests to the HTTP API: what is refused before it is worked on, and every failure's status.

Failures are ``{"success": false, "message": …}``, as clients of the older services expect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import TypeVar

import structlog
from aiohttp import web

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
from schemas.json_budget import FIELDS_ROOM
from streams.config.settings import Settings
from streams.errors import Busy, InferenceTimeout, StreamsError

T = TypeVar("T")

log = structlog.get_logger(__name__)

API = "/api/"
JSON_TYPE = "application/json"
RETRY_AFTER_S = 1
#: What the pool may need to end an inference that is late.
GRACE_S = 1.0

#: Base64 takes 4/3 of the picture's bytes, and line breaks in it some more.
BASE64_SHARE = 1.4

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: The status of each failure; the first that fits.
STATUSES: Mapping[type[Exception], HTTPStatus] = {
    InvalidEvent: HTTPStatus.BAD_REQUEST,
    UnreadableImage: HTTPStatus.BAD_REQUEST,
    ImageTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    # The request is right and its picture is one, but what is asked for is not in it.
    NoFaceFound: HTTPStatus.UNPROCESSABLE_ENTITY,
    LowConfidence: HTTPStatus.UNPROCESSABLE_ENTITY,
    Busy: HTTPStatus.SERVICE_UNAVAILABLE,
    InferenceTimeout: HTTPStatus.SERVICE_UNAVAILABLE,
    InferenceTerminated: HTTPStatus.SERVICE_UNAVAILABLE,
    ModelsError: HTTPStatus.INTERNAL_SERVER_ERROR,
}


class Refusal(StreamsError):
    """A request that is answered with a failure; the message says what its sender can do."""

    def __init__(
        self, status: HTTPStatus, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})


def body_limit(settings: Settings) -> int:
    """Most bytes of a request's body: the largest picture in base64, and the other fields."""
    return int(settings.max_image_bytes * BASE64_SHARE) + FIELDS_ROOM


def declared_size(request: web.Request, limit: int) -> int:
    """How many bytes the body will have, at most. Raises ``Refusal`` when that is over ``limit``.

    A body that is sent compressed says nothing of its size: it is unpacked, up to the limit.
    """
    size = request.content_length
    if size is not None and size > limit:
        raise _body_too_large(limit)
    return limit if size is None or "Content-Encoding" in request.headers else size


async def read_body(request: web.Request, settings: Settings, limit: int | None = None) -> bytes:
    """The JSON text of a request. Raises ``Refusal``, as when it is over ``limit`` bytes.

    ``limit`` is ``body_limit`` where none is given.

    The content type must say that it is JSON: a browser sends that to a foreign origin only after
    asking, so that no web page can make its visitors' browsers call a worker on loopback.
    """
    if request.content_type != JSON_TYPE:
        raise Refusal(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"expected the header Content-Type: {JSON_TYPE}, found {request.content_type}",
        )
    timeout_s = settings.ml_service_timeout / 1000
    limit = body_limit(settings) if limit is None else limit
    body = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            async for part in request.content.iter_any():
                body += part
                if len(body) > limit:
                    raise _body_too_large(limit)
    except TimeoutError:
        raise Refusal(
            HTTPStatus.REQUEST_TIMEOUT, f"the body did not arrive in {timeout_s * 1000:.0f} ms"
        ) from None
    except (ConnectionResetError, web.RequestPayloadError):
        packed = request.headers.get("Content-Encoding")
        why = f", or cannot be unpacked as {packed[:20]!r}" if packed else ""
        raise Refusal(HTTPStatus.BAD_REQUEST, f"the body broke off{why}") from None
    return bytes(body)


async def in_time(work: Awaitable[T], settings: Settings, on_timeout: Callable[[], None]) -> T:
    """The result of an inference that waits ``patience_s`` for a thread. Raises ``Busy``.

    Once it runs, the pool's own clock ends it and tells the circuit, and ``on_timeout`` is called:
    were it cut off here by a clock that started earlier, models that hang would never be noticed.
    """
    timeout_s = 2 * patience_s(settings) + GRACE_S
    try:
        async with asyncio.timeout(timeout_s):
            return await work
    except InferenceTimeout:
        on_timeout()
        raise
    except TimeoutError:
        on_timeout()
        raise Busy(f"there was no result in {timeout_s * 1000:.0f} ms; try again soon") from None


def patience_s(settings: Settings) -> float:
    """How long a request waits for a thread: the older clients' own time-out is the same."""
    return settings.ml_service_timeout / 1000


def failure_response(
    status: HTTPStatus, message: str, headers: Mapping[str, str] | None = None
) -> web.Response:
    """A failure as our clients read it; 503 says when to try again."""
    given = dict(headers or {})
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        given.setdefault("Retry-After", str(RETRY_AFTER_S))
    return web.json_response(
        text=Failure(message=message).model_dump_json(), status=status, headers=given
    )


@web.middleware
async def api_failures(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answers every failure below /api/ in one shape."""
    if not request.path.startswith(API):
        return await handler(request)
    try:
        return await handler(request)
    except Refusal as refusal:
        return failure_response(refusal.status, str(refusal), refusal.headers)
    except tuple(STATUSES) as error:
        status = next(code for kind, code in STATUSES.items() if isinstance(error, kind))
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            log.warning("request failed", path=request.path, reason=str(error))
        return failure_response(status, str(error))
    except web.HTTPException as error:
        return _http_failure(request, error)
    except Exception:
        log.exception("request failed", path=request.path)
        return failure_response(
            HTTPStatus.INTERNAL_SERVER_ERROR, "an error of ours; the worker's log has it"
        )


def _http_failure(request: web.Request, error: web.HTTPException) -> web.Response:
    """Of aiohttp's own: no such page, no such method on it."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        # Faust gives every page a HEAD; where there is no GET it is refused.
        without_head = {"HEAD"} if "GET" not in error.allowed_methods else set()
        allowed = ", ".join(sorted(error.allowed_methods - without_head))
        return failure_response(
            HTTPStatus.METHOD_NOT_ALLOWED,
            f"{request.path} takes {allowed}, not {request.method}",
            {"Allow": allowed},
        )
    status = HTTPStatus(error.status)
    message = f"no page {request.path}" if status == HTTPStatus.NOT_FOUND else error.reason
    return failure_response(status, message)


def _body_too_large(limit: int) -> Refusal:
    return Refusal(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the body is larger than {limit:,} bytes (of a picture: MAX_IMAGE_BYTES, in base64)",
    )

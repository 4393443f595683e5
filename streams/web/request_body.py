"""Reading the body of a request, within limits of size and time."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from aiohttp import web

from schemas.json_budget import JSON_BUDGET
from streams.config.picture_settings import PictureSettings
from streams.config.settings import Settings
from streams.web.answers import JSON_TYPE
from streams.web.failures import Refusal

#: Bytes of base64 for each byte of the picture: 4/3, and line breaks.
BASE64_SHARE = 1.4


def body_limit(settings: PictureSettings) -> int:
    """Return the largest body in bytes: the largest picture in base64, and the other fields."""
    return int(settings.max_image_bytes * BASE64_SHARE) + JSON_BUDGET


def declared_size(request: web.Request, limit: int) -> int:
    """Return the most bytes that the body can have. Raises ``Refusal`` above ``limit``.

    A compressed body does not declare its unpacked size, so it counts as ``limit`` bytes.
    """
    size = request.content_length
    if size is not None and size > limit:
        raise _body_too_large(limit)
    return limit if size is None or "Content-Encoding" in request.headers else size


async def read_body(request: web.Request, settings: Settings, limit: int | None = None) -> bytes:
    """Read the JSON text of a request, at most ``limit`` bytes (``body_limit`` by default).

    Raises ``Refusal`` for a body that is too large, too slow, cut off, or not declared as JSON. A
    browser sends that content type to another origin only after a preflight request, so no web page
    can make its visitors' browsers call a worker on loopback.
    """
    if request.content_type != JSON_TYPE:
        raise Refusal(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"expected the header Content-Type: {JSON_TYPE}, found {request.content_type}",
        )
    timeout_s = settings.ml_service_timeout / 1000
    try:
        async with asyncio.timeout(timeout_s):
            return await _read(request, body_limit(settings) if limit is None else limit)
    except TimeoutError:
        raise Refusal(
            HTTPStatus.REQUEST_TIMEOUT, f"the body did not arrive in {timeout_s * 1000:.0f} ms"
        ) from None
    except (ConnectionResetError, web.RequestPayloadError):
        encoding = request.headers.get("Content-Encoding")
        why = f", or cannot be unpacked as {encoding[:20]!r}" if encoding else ""
        raise Refusal(HTTPStatus.BAD_REQUEST, f"the body broke off{why}") from None


async def _read(request: web.Request, limit: int) -> bytes:
    body = bytearray()
    async for part in request.content.iter_any():
        body += part
        if len(body) > limit:
            raise _body_too_large(limit)
    return bytes(body)


def _body_too_large(limit: int) -> Refusal:
    return Refusal(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the body is larger than {limit:,} bytes (for a picture, MAX_IMAGE_BYTES sets the limit)",
    )

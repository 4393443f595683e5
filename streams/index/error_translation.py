"""Translates the Qdrant client's exceptions into errors that a retry can or cannot help."""
# ruff: noqa: PLC0415 - qdrant_client is slow to import; it is loaded by the time this runs

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

from streams.index.errors import IndexRejected, IndexUnavailable, VectorIndexError

if TYPE_CHECKING:
    from qdrant_client.http.exceptions import UnexpectedResponse

# A batch that is too large is among these: its halves may fit.
_NEVER = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
}
_KEY = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Raise errors of ``streams.index.errors`` instead of the client's, naming the place.

    Every failure that is not certain to happen again becomes ``IndexUnavailable``: a needless retry
    loses nothing, a needless rejection loses a face.
    """
    from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
    from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

    try:
        yield
    except UnexpectedResponse as exc:
        raise _of_answer(where, exc) from exc
    except ResourceExhaustedResponse as exc:
        raise IndexUnavailable(f"{where} is overloaded: {exc}", exc.retry_after_s) from exc
    except ResponseHandlingException as exc:
        reason = f"{type(exc.source).__name__}: {exc.source}"
        raise IndexUnavailable(f"{where} does not answer ({reason})") from exc
    except QdrantException as exc:
        raise IndexUnavailable(f"{where}: {exc}") from exc
    except (OSError, sqlite3.Error) as exc:
        raise IndexUnavailable(f"{where} cannot be read or written: {exc}") from exc
    except ValueError as exc:  # local mode's status 400, and the client's own validation
        raise IndexRejected(f"{where} rejects this: {exc}") from exc


def _of_answer(where: str, exc: UnexpectedResponse) -> VectorIndexError:
    status, reason = exc.status_code, _reason(exc)
    if status in _NEVER:
        return IndexRejected(f"{where} rejects this ({status}): {reason}")
    if status in _KEY:
        return IndexUnavailable(
            f"{where} does not accept the API key ({status}: {reason}): check QDRANT_API_KEY"
        )
    return IndexUnavailable(f"{where} answers {status}: {reason}")


def _reason(exc: UnexpectedResponse) -> str:
    try:
        return str(exc.structured()["status"]["error"])
    except (ValueError, KeyError, TypeError):
        return exc.content[:200].decode(errors="replace") or exc.reason_phrase

"""One large file over HTTP: gone on with after an interruption, and checked at the end."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from models.weights import sha256_of
from streams.errors import StreamsError

Report = Callable[[int, int], None]
"""Told of the bytes that are there and how many there will be."""

CHUNK_BYTES = 256 * 1024
ATTEMPTS = 5
SILENCE_S = 30.0
"""A server that sends nothing for this long is tried again."""


class DownloadFailed(StreamsError):
    """The file could not be had; what has arrived is kept where going on with it makes sense."""


class _Interrupted(Exception):
    """Worth another attempt: the next one goes on where this one ended."""


def download(
    url: str,
    folder: Path,
    *,
    sha256: str,
    size: int,
    report: Report = lambda done, total: None,
    attempts: int = ATTEMPTS,
    wait_s: float = 1.0,
    silence_s: float = SILENCE_S,
) -> Path:
    """The file `<sha256>.part` in `folder`, whole and with this sha256; the caller names it.

    Attempts start `wait_s` apart, doubling; each goes on from what has arrived. Raises
    DownloadFailed.
    """
    part = folder / f"{sha256}.part"
    retrying = Retrying(
        stop=stop_after_attempt(attempts),
        wait=wait_exponential(multiplier=wait_s, max=30),
        retry=retry_if_exception_type(_Interrupted),
        reraise=True,
    )
    resumed = part.exists()
    try:
        retrying(_continue, url, part, size, report, silence_s)
        if sha256_of(part) != sha256 and resumed:
            # The beginning may be from an older file of that name: once more, from nothing.
            part.unlink()
            retrying(_continue, url, part, size, report, silence_s)
    except _Interrupted as error:
        have = part.stat().st_size if part.exists() else 0
        raise DownloadFailed(
            f"{url}: {error}; {have:,} of {size:,} bytes are there, run it again to go on"
        ) from error
    found = sha256_of(part)
    if found != sha256:
        part.unlink()
        raise DownloadFailed(
            f"{url} is not the pinned file: expected sha256 {sha256}, found {found}"
        )
    return part


def _continue(url: str, part: Path, size: int, report: Report, silence_s: float) -> None:
    """One attempt at what is missing. Raises _Interrupted or DownloadFailed."""
    have = part.stat().st_size if part.exists() else 0
    if have > size:
        part.unlink()
        have = 0
    if have == size and size > 0:
        return
    headers = {"User-Agent": "facestream", **({"Range": f"bytes={have}-"} if have else {})}
    # Only URLs of the manifest come here.
    request = urllib.request.Request(url, headers=headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=silence_s) as answer:  # noqa: S310
            have = have if _continues_at(answer, have) else 0  # else it sends the whole file
            _receive(answer, part, have, size, report)
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink(missing_ok=True)
            raise _Interrupted("the server's file is shorter than what had arrived") from error
        reason = f"the server answers {error.code} {error.reason}"
        if error.code >= HTTPStatus.INTERNAL_SERVER_ERROR or error.code in (408, 429):
            raise _Interrupted(reason) from error
        raise DownloadFailed(f"{url}: {reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _Interrupted(f"the connection failed ({_reason(error)})") from error


def _receive(answer: Any, part: Path, have: int, size: int, report: Report) -> None:
    with part.open("ab" if have else "wb") as out:
        report(have, size)
        # read1 gives what has come; read would wait for a whole chunk and lose it at a break.
        while chunk := answer.read1(CHUNK_BYTES):
            have += len(chunk)
            if have > size:
                out.close()
                part.unlink()
                raise DownloadFailed(
                    f"{answer.url} is not the pinned file: more than {size:,} bytes"
                )
            out.write(chunk)
            report(have, size)
    if have < size:
        raise _Interrupted(f"the answer ended {size - have:,} bytes early")


def _continues_at(answer: Any, offset: int) -> bool:
    content_range = str(answer.headers.get("Content-Range", ""))
    partial = answer.status == HTTPStatus.PARTIAL_CONTENT
    return bool(partial and content_range.startswith(f"bytes {offset}-"))


def _reason(error: Exception) -> str:
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    return str(inner) or type(inner).__name__

"""Download one large file over HTTP: resumable, with its SHA-256 checked at the end."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from models.weights import sha256_of
from streams.errors import StreamsError

#: Called with the bytes received so far and the bytes in total.
Report = Callable[[int, int], None]

CHUNK_BYTES = 256 * 1024
ATTEMPTS = 5
#: An attempt ends when the server sends nothing for this long.
SILENCE_S = 30.0


class DownloadFailed(StreamsError):
    """The download failed; the bytes received are kept when a later attempt can use them."""


class _Interrupted(Exception):
    """An attempt failed; the next one continues where it ended."""


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
    """Return the complete, verified file ``<sha256>.part`` in ``folder``.

    Each attempt continues after the bytes received; the wait between attempts starts at ``wait_s``
    and doubles. Raises ``DownloadFailed``.
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
            # The bytes kept may belong to another version of the file: start again, once.
            part.unlink()
            retrying(_continue, url, part, size, report, silence_s)
    except _Interrupted as error:
        have = part.stat().st_size if part.exists() else 0
        raise DownloadFailed(
            f"{url}: {error}; {have:,} of {size:,} bytes were received, run it again to continue"
        ) from error
    _check_hash(part, url, sha256)
    return part


def _check_hash(part: Path, url: str, sha256: str) -> None:
    found = sha256_of(part)
    if found != sha256:
        part.unlink()
        raise DownloadFailed(
            f"{url} is not the pinned file: expected sha256 {sha256}, found {found}"
        )


def _continue(url: str, part: Path, size: int, report: Report, silence_s: float) -> None:
    """Make one attempt at the missing bytes. Raises ``_Interrupted`` or ``DownloadFailed``."""
    have = part.stat().st_size if part.exists() else 0
    if have > size:
        part.unlink()
        have = 0
    if have == size and size > 0:
        return
    headers = {"User-Agent": "facestream", **({"Range": f"bytes={have}-"} if have else {})}
    # The URL comes from the manifest.
    request = urllib.request.Request(url, headers=headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=silence_s) as answer:  # noqa: S310
            have = have if _continues_at(answer, have) else 0  # else the answer is the whole file
            _receive(answer, part, have, size, report)
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink(missing_ok=True)
            raise _Interrupted(
                "the server's file is shorter than the bytes received before"
            ) from error
        reason = f"the server answers {error.code} {error.reason}"
        if error.code >= HTTPStatus.INTERNAL_SERVER_ERROR or error.code in (408, 429):
            raise _Interrupted(reason) from error
        raise DownloadFailed(f"{url}: {reason}") from error
    except (OSError, HTTPException) as error:
        raise _Interrupted(f"the connection failed ({_reason(error)})") from error


def _receive(answer: HTTPResponse, part: Path, have: int, size: int, report: Report) -> None:
    with part.open("ab" if have else "wb") as out:
        report(have, size)
        # read1 returns the bytes available. read would wait for a whole chunk, and lose it when
        # the connection breaks.
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


def _continues_at(answer: HTTPResponse, offset: int) -> bool:
    content_range = str(answer.headers.get("Content-Range", ""))
    partial = answer.status == HTTPStatus.PARTIAL_CONTENT
    return bool(partial and content_range.startswith(f"bytes {offset}-"))


def _reason(error: Exception) -> str:
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    return str(inner) or type(inner).__name__

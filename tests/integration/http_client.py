"""A client of a worker's HTTP API, and the checks of its answers that several tests share."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator

from streams.local.worker_process import WorkerProcess
from streams.web.admission import REQUESTS_PER_THREAD
from streams.web.openapi import COMMITTED
from tools.pictures import portrait_bytes

TIMEOUT_S = 30.0
DETECT, EXTRACT, SCORE = "/api/detect-face", "/api/extract-embedding", "/api/score"


@dataclass(frozen=True)
class Answer:
    """An HTTP response: status, headers (names in lower case) and the JSON body."""

    status: int
    headers: Mapping[str, str]
    body: Any


def call(
    url: str,
    body: Any = None,
    *,
    headers: Mapping[str, str] | None = None,
    method: str | None = None,
) -> Answer:
    """Send a GET, or a POST when there is a body: bytes unchanged, other values as JSON."""
    given = {"Content-Type": "application/json", **(headers or {})}
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=given, method=method)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            return _answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        return _answer(error.code, error.headers, error.read())


async def call_async(url: str, body: Any = None) -> Answer:
    """Run ``call`` in a thread, so that calls can overlap."""
    return await asyncio.to_thread(call, url, body)


def text_of(image: bytes) -> str:
    """Encode a picture in base64, as the API expects it."""
    return base64.b64encode(image).decode()


PORTRAIT = text_of(portrait_bytes())


def score_request(user_id: str, **fields: Any) -> dict[str, Any]:
    """Create a request body with the older app's names."""
    older = {"userId": user_id, "image": PORTRAIT, "nftVerified": True, "wldVerified": False}
    return {**older, **fields}


@contextlib.contextmanager
def unfinished_requests(worker: WorkerProcess) -> Iterator[list[socket.socket]]:
    """Open as many as a worker with one thread accepts."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(_unfinished_request(worker)) for _ in range(REQUESTS_PER_THREAD)]


@contextlib.contextmanager
def _unfinished_request(worker: WorkerProcess) -> Iterator[socket.socket]:
    """Open a request and announce a body, but do not send the rest of it."""
    with socket.create_connection(("127.0.0.1", worker.port), timeout=30) as connection:
        head = (
            "POST /api/detect-face HTTP/1.1\r\nHost: worker\r\nContent-Type: application/json\r\n"
            "Content-Length: 100\r\n\r\n{"
        )
        connection.sendall(head.encode())
        yield connection


def assert_matches(answer: Answer, component: str) -> None:
    """Check the body against a schema of the committed OpenAPI document."""
    document = json.loads(COMMITTED.read_text())
    schema = {"$ref": f"#/components/schemas/{component}", **document}
    Draft202012Validator(schema).validate(answer.body)


def assert_refused(answer: Answer, status: int, message: str) -> None:
    """Check that the answer is a ``Failure`` with this status and message."""
    assert (status, False) == (answer.status, answer.body["success"])
    assert message in answer.body["message"]
    assert answer.headers["content-type"].startswith("application/json")
    assert_matches(answer, "Failure")


def _answer(status: int, headers: Any, body: bytes) -> Answer:
    names = {name.lower(): value for name, value in headers.items()}
    return Answer(status, names, json.loads(body) if body else None)

"""Calls to a worker's HTTP API, as a client makes them."""

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

from streams.local.worker_process import WorkerProcess

TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Answer:
    """Status, headers (names in lower case), and the JSON body."""

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
    """GET, or POST where there is a body: bytes as they are, anything else as JSON."""
    given = {"Content-Type": "application/json", **(headers or {})}
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=given, method=method)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            return _answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        return _answer(error.code, error.headers, error.read())


async def call_async(url: str, body: Any = None) -> Answer:
    """The same, beside others."""
    return await asyncio.to_thread(call, url, body)


def text_of(image: bytes) -> str:
    """A picture as the API takes it."""
    return base64.b64encode(image).decode()


@contextlib.contextmanager
def unfinished_request(worker: WorkerProcess) -> Iterator[socket.socket]:
    """A request whose body has been announced and does not come."""
    with socket.create_connection(("127.0.0.1", worker.port), timeout=30) as connection:
        head = (
            "POST /api/detect-face HTTP/1.1\r\nHost: worker\r\nContent-Type: application/json\r\n"
            "Content-Length: 100\r\n\r\n{"
        )
        connection.sendall(head.encode())
        yield connection


def _answer(status: int, headers: Any, body: bytes) -> Answer:
    names = {name.lower(): value for name, value in headers.items()}
    return Answer(status, names, json.loads(body) if body else None)

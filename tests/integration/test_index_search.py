"""``/index/search`` of a real worker: thresholds, and refused searches."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import pytest

from streams.local.worker_process import WorkerProcess
from tests.integration.http_client import call
from tests.integration.stack import Stack


@pytest.fixture(scope="module")
def worker(stack: Stack) -> Iterator[WorkerProcess]:
    """Start one worker for all tests of this module."""
    with stack.worker() as running:
        yield running


def test_a_search_returns_the_thresholds_of_the_embedder(worker: WorkerProcess) -> None:
    """An application needs no similarity threshold of its own."""
    embedding = [1.0] + [0.0] * 127
    found = call(worker.url + "/index/search", {"embedding": embedding}).body
    assert ("sface", {"1e-3": 0.367, "1e-4": 0.425, "1e-5": 0.463}) == (
        found["embedder"],
        found["thresholds"],
    )


def test_an_invalid_embedding_is_a_client_error(worker: WorkerProcess) -> None:
    """NaN and a wrong size are refused."""
    for embedding in ("[NaN]", "[1.0, 2.0]"):
        answer = call(worker.url + "/index/search", f'{{"embedding": {embedding}}}'.encode())
        assert answer.status == 400
        assert answer.body["error"].startswith("embedding")


def test_a_hostile_search_is_refused_cheaply(worker: WorkerProcess) -> None:
    """A body of megabytes is not read, and the message names only the first wrong number."""
    url = worker.url + "/index/search"

    def hostile(count: int) -> bytes:
        return b'{"embedding": [' + b'"",' * count + b'""]}'

    too_large = call(url, hostile(9_000_000))
    assert too_large.status == 413
    assert "262,144 bytes" in too_large.body["error"]
    packed = call(url, gzip.compress(hostile(9_000_000)), headers={"Content-Encoding": "gzip"})
    assert packed.status == 413
    wrong = call(url, hostile(80_000))
    assert wrong.status == 400
    assert len(wrong.body["error"]) < 500
    too_long = call(url, {"embedding": [0] * 80_000})
    assert too_long.status == 400
    assert "at most 8192 items" in too_long.body["error"]
    foreign = call(url, {"embedding": []}, headers={"Content-Type": "text/plain"})
    assert foreign.status == 415
    assert call(url, {"embedding": [1.0] + [0.0] * 127}).status == 200

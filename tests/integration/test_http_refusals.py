"""Requests that the HTTP API refuses: bodies, encodings, content types and methods."""

from __future__ import annotations

import gzip
import json
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from streams.local.worker_process import WorkerProcess
from tests.integration.http_client import DETECT, EXTRACT, PORTRAIT, assert_refused, call, text_of
from tests.integration.stack import Stack
from tools.pictures import png_declaring, portrait_bytes

#: Room for a portrait, and little more.
MAX_IMAGE_BYTES = 128 * 1024


@pytest.fixture(scope="module")
def worker(stack: Stack) -> Iterator[WorkerProcess]:
    """Start one worker for the tests of this module."""
    with stack.worker(MAX_IMAGE_BYTES=str(MAX_IMAGE_BYTES)) as running:
        yield running


@pytest.mark.parametrize("page", [DETECT, EXTRACT])
@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"", 400, "body: expected JSON"),
        (b'{"image": ', 400, "body: expected JSON"),
        (b"\xff\xfe", 400, "body: expected JSON"),
        (b"[]", 400, "body: expected a JSON object"),
        (b"[" * 50_000, 400, "body: expected JSON"),
        (b"[" + b"{}," * 70_000 + b"0]", 400, "body: expected at most 65,536 bytes of JSON beside"),
        ({}, 400, "image: expected a picture in base64"),
        ({"image": None}, 400, "image: expected a picture in base64"),
        ({"image": 7}, 400, "image: expected a picture in base64"),
        ({"image": ""}, 400, "image: expected a picture in base64"),
        ({"image": "not base64!"}, 400, "image: expected a picture in base64"),
        ({"image": "data:image/png,abc"}, 400, "image: expected a picture in base64"),
        ({"image": text_of(b"not a picture")}, 400, "cannot be read"),
        ({"image": text_of(portrait_bytes()[:5000])}, 400, "cannot be read"),
        ({"image": text_of(png_declaring(50_000, 50_000))}, 413, "the limit is"),
        ({"image": text_of(bytes(MAX_IMAGE_BYTES + 1))}, 413, "the limit is"),
        ({"image": "A" * (MAX_IMAGE_BYTES * 2)}, 413, "MAX_IMAGE_BYTES"),
    ],
)
def test_a_bad_request_is_explained(
    worker: WorkerProcess, page: str, body: Any, status: int, message: str
) -> None:
    """The message is short and does not contain the picture."""
    answer = call(worker.url + page, body)
    assert_refused(answer, status, message)
    assert len(answer.body["message"]) < 500


@pytest.mark.parametrize(
    ("page", "field", "value"),
    [
        (DETECT, "min_confidence", 1.5),
        (DETECT, "min_confidence", "0.7"),
        (EXTRACT, "aligned", "yes"),
    ],
)
def test_a_wrong_field_is_named(
    worker: WorkerProcess, page: str, field: str, value: object
) -> None:
    """Values are not converted."""
    answer = call(worker.url + page, {"image": PORTRAIT, field: value})
    assert_refused(answer, 400, f"{field}: expected")


def test_the_size_limit_holds_for_the_unpacked_body(worker: WorkerProcess) -> None:
    """A small body that unpacks to a hundred megabytes is refused."""
    compressed = {"Content-Encoding": "gzip"}
    body = gzip.compress(json.dumps({"image": PORTRAIT}).encode())
    assert len(call(worker.url + DETECT, body, headers=compressed).body["faces"]) == 1
    bomb = gzip.compress(b" " * (100 * 1024 * 1024))
    assert_refused(call(worker.url + DETECT, bomb, headers=compressed), 413, "MAX_IMAGE_BYTES")


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_body_that_cannot_be_unpacked_is_refused(worker: WorkerProcess, encoding: str) -> None:
    """The same encoding with a valid body is accepted."""
    compressed = {"Content-Encoding": encoding}
    answer = call(worker.url + DETECT, b"neither of them", headers=compressed)
    assert_refused(answer, 400, f"the body broke off, or cannot be unpacked as '{encoding}'")
    assert "\n" not in answer.body["message"]
    body = json.dumps({"image": PORTRAIT}).encode()
    packed = gzip.compress(body) if encoding == "gzip" else zlib.compress(body)
    assert call(worker.url + DETECT, packed, headers=compressed).status == 200


@pytest.mark.parametrize("encoding", ["br", "zstd"])
def test_the_http_server_refuses_other_encodings(worker: WorkerProcess, encoding: str) -> None:
    """The answer is plain text, because the request does not reach a page."""
    request = urllib.request.Request(
        worker.url + DETECT,
        data=b"anything",
        headers={"Content-Type": "application/json", "Content-Encoding": encoding},
    )
    with pytest.raises(urllib.error.HTTPError) as answer:
        urllib.request.urlopen(request, timeout=30)
    assert answer.value.code == 400
    assert call(worker.url + "/api/health").status == 200


def test_another_content_type_is_refused(worker: WorkerProcess) -> None:
    """Otherwise a web page could make its visitors' browsers call a worker."""
    body = {"image": PORTRAIT}
    for content_type in ("text/plain", "application/x-www-form-urlencoded", ""):
        headers = {"Content-Type": content_type}
        assert_refused(call(worker.url + DETECT, body, headers=headers), 415, "application/json")
    with_charset = {"Content-Type": "application/json; charset=utf-8"}
    assert call(worker.url + DETECT, body, headers=with_charset).status == 200


def test_unknown_methods_and_pages_are_refused(worker: WorkerProcess) -> None:
    """The answer names the allowed methods."""
    for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS"):
        answer = call(worker.url + DETECT, method=method)
        assert_refused(answer, 405, "POST")
        assert answer.headers["allow"] == "POST"
    assert call(worker.url + DETECT, method="HEAD").status == 405
    assert_refused(call(worker.url + "/api/health", {}), 405, "GET")
    assert_refused(call(worker.url + "/api/nowhere"), 404, "no page /api/nowhere")

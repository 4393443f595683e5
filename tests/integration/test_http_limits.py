"""The HTTP API's ports, its limit of concurrent requests, and its token."""

from __future__ import annotations

import socket

from streams.local.embedded_broker import free_port
from streams.process.exits import EXIT_CANNOT_START
from tests.integration.http_client import (
    DETECT,
    EXTRACT,
    PORTRAIT,
    assert_refused,
    call,
    unfinished_requests,
)
from tests.integration.stack import Stack, exit_of, wait_until


def test_the_legacy_ports_serve_the_same_pages(stack: Stack) -> None:
    """The older services had a port each."""
    ports = [free_port(), free_port()]
    with stack.worker(LEGACY_PORTS=",".join(map(str, ports))) as worker:
        body = {"image": PORTRAIT}
        for port in (*ports, worker.port):
            assert call(f"http://127.0.0.1:{port}/api/health").body["status"] == "healthy"
            assert len(call(f"http://127.0.0.1:{port}{DETECT}", body).body["faces"]) == 1


def test_a_taken_legacy_port_stops_the_start(stack: Stack) -> None:
    """The log names the port and the setting."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with stack.worker(wait=False, LEGACY_PORTS=str(port)) as worker:
            status, log = exit_of(worker)
            assert status == EXIT_CANNOT_START
            assert f"127.0.0.1:{port} is taken" in log
            assert "LEGACY_PORTS" in log


def test_requests_beyond_the_limit_are_refused(stack: Stack) -> None:
    """They get 503 with ``Retry-After`` and do not queue."""
    body = {"image": PORTRAIT}
    with stack.worker(INFERENCE_THREADS="1", ML_SERVICE_TIMEOUT="30000") as worker:

        def is_full() -> bool:
            return call(worker.url + DETECT, body).status == 503

        assert not is_full()
        with unfinished_requests(worker):
            wait_until(is_full, "all requests are open")
            answer = call(worker.url + DETECT, body)
            assert_refused(answer, 503, "try again")
            assert int(answer.headers["retry-after"]) >= 1
            assert call(worker.url + "/api/health").status == 200
        wait_until(lambda: not is_full(), "there is capacity again")


def test_an_unfinished_body_times_out_and_frees_its_capacity(stack: Stack) -> None:
    """The limit is the time that an attempt may take."""
    body = {"image": PORTRAIT}
    with (
        stack.worker(INFERENCE_THREADS="1", ML_SERVICE_TIMEOUT="1500") as worker,
        unfinished_requests(worker) as connections,
    ):
        for connection in connections:
            received = connection.recv(4096).decode()
            assert "408" in received.splitlines()[0]
            assert '"success":false' in received
        assert call(worker.url + DETECT, body).status == 200


def test_a_token_guards_the_api(stack: Stack) -> None:
    """Each page requires it."""
    token = "0123456789abcdef-token"
    with stack.worker(API_TOKEN=token) as worker:
        for page in (DETECT, EXTRACT, "/api/score", "/api/attractiveness/score"):
            assert_refused(call(worker.url + page, {}), 401, "Bearer")
        for page in ("/api/health", "/api/ml-status", "/api/openapi.json"):
            assert_refused(call(worker.url + page), 401, "Bearer")
        with_token = {"Authorization": f"Bearer {token}"}
        body = {"image": PORTRAIT}
        assert call(worker.url + DETECT, body, headers=with_token).status == 200

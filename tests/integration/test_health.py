"""The health pages report readiness and stalls, and are guarded by the token."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.local.embedded_broker import EmbeddedBroker, free_port
from streams.local.worker_process import WorkerProcess
from tests.integration.stack import Stack, image_event, log_of, running_stack, wait_until
from tools.pictures import portrait_bytes

TOKEN = "0123456789abcdef-token"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Start a broker for each test."""
    with running_stack(tmp_path) as running:
        yield running


def status_of(worker: WorkerProcess, page: str) -> int:
    return worker.get(page)[0]


def test_a_running_worker_is_live_and_ready(stack: Stack) -> None:
    """Readiness lists each part."""
    with stack.worker() as worker:
        wait_until(lambda: worker.get("/health/ready")[1]["status"] == "ready", "the index is open")
        _, ready = worker.get("/health/ready")
        parts = ("models", "broker", "assignment", "index")
        assert {part: ready[part] for part in parts} == dict.fromkeys(parts, True)
        assert status_of(worker, "/health/live") == 200


def test_an_unreachable_index_degrades_readiness(stack: Stack) -> None:
    """Faces are still scored and answered."""
    with stack.worker(QDRANT_URL=f"http://127.0.0.1:{free_port()}") as worker:
        status, ready = worker.get("/health/ready")
        assert status == 200
        assert (ready["status"], ready["index"]) == ("degraded", False)


async def test_a_worker_that_waits_for_the_index_is_not_stalled(stack: Stack) -> None:
    """It retries, and a restart would not help."""
    away = f"http://127.0.0.1:{free_port()}"
    with stack.worker(QDRANT_URL=away, STALLED_AFTER_S="3") as worker:
        async with stack.submitter() as submitter:
            await submitter.submit(image_event("user", portrait_bytes()))
        topic = stack.topics.scored_face
        wait_until(lambda: worker.get("/health/ready")[1]["held"][topic] == 1, "held for the index")
        loop = asyncio.get_running_loop()
        until = loop.time() + 6
        while loop.time() < until:
            assert status_of(worker, "/health/live") == 200
            await asyncio.sleep(0.5)


async def test_a_stalled_worker_fails_liveness_and_readiness(stack: Stack) -> None:
    """The handler of ``tests.stuck_app`` never returns from its first event."""
    with stack.worker(
        app="tests.stuck_app", STALLED_AFTER_S="2", ML_SERVICE_TIMEOUT="60000"
    ) as worker:
        assert status_of(worker, "/health/live") == 200
        async with stack.submitter() as submitter:
            await submitter.submit(image_event("user", portrait_bytes()))
        wait_until(lambda: status_of(worker, "/health/live") == 503, "liveness fails")
        status, ready = worker.get("/health/ready")
        assert status == 503
        assert list(ready["stalled"]) == [stack.topics.image_submitted]
        worker.kill()


def test_a_blocked_event_loop_does_not_answer(stack: Stack) -> None:
    """A probe without an answer fails too."""
    with stack.worker() as worker:
        worker.send_signal(signal.SIGSTOP)
        try:
            assert status_of(worker, "/health/live") == 0
        finally:
            worker.send_signal(signal.SIGCONT)
        wait_until(lambda: status_of(worker, "/health/live") == 200, "it continues")


def test_readiness_fails_when_the_broker_is_unreachable(tmp_path: Path) -> None:
    """Liveness does not: a restart would not bring the broker back."""
    with EmbeddedBroker(free_port()) as broker:
        stack = Stack(tmp_path, broker.address)
        with stack.worker(STALLED_AFTER_S="6") as worker:
            broker.stop()
            wait_until(lambda: status_of(worker, "/health/ready") == 503, "readiness fails")
            assert worker.get("/health/ready")[1]["broker"] is False
            assert status_of(worker, "/health/live") == 200
            worker.kill()


def status_with(worker: WorkerProcess, page: str, authorization: str | None = None) -> int:
    headers = {"Authorization": authorization} if authorization else {}
    request = urllib.request.Request(worker.url + page, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_token_guards_every_page_but_liveness(stack: Stack) -> None:
    """A missing and a wrong token are refused."""
    with stack.worker(API_TOKEN=TOKEN) as worker:
        assert status_with(worker, "/health/live") == 200
        for page in ("/health/ready", "/index", "/nowhere"):
            assert status_with(worker, page) == 401
            assert status_with(worker, page, "Bearer wrong") == 401
        assert status_with(worker, "/health/ready", f"Bearer {TOKEN}") == 200
        assert TOKEN not in log_of(worker), "a secret in the log"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has more loopback addresses")
@pytest.mark.parametrize(("host", "reached"), [("", False), ("0.0.0.0", True)])
def test_the_web_port_listens_on_loopback_by_default(
    stack: Stack, host: str, reached: bool
) -> None:
    """Here 127.0.0.2 represents any other address of the machine."""
    with stack.worker(WEB_HOST=host) as worker, socket.socket() as client:
        client.settimeout(5)
        assert (client.connect_ex(("127.0.0.2", worker.port)) == 0) is reached

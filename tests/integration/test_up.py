"""``facestream up`` as a process: broker, index and worker from nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from streams.local.embedded_broker import free_port
from tests.integration.stack import SESSION_S, wait_until
from tools.pictures import portrait_bytes

FACESTREAM = [sys.executable, "-m", "streams.cli"]


@dataclass(frozen=True)
class Up:
    """The running command, its environment and its log."""

    process: subprocess.Popen[bytes]
    environment: dict[str, str]
    log: Path


@contextmanager
def running_up(folder: Path) -> Iterator[Up]:
    """Start the command on free ports, and kill it at the end if it still runs."""
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": "",
        "KAFKA_PORT": str(free_port()),
        "KAFKA_SESSION_TIMEOUT_S": SESSION_S,
        "PORT": str(free_port()),
        "QDRANT_PATH": str(folder / "index"),
    }
    log = folder / "up.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*FACESTREAM, "up"], env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        wait_until(lambda: "facestream is up" in log.read_text(), f"up, see {log}")
        yield Up(process, environment, log)
    finally:
        process.kill()
        process.wait(10)


def test_up_fails_when_its_broker_dies(tmp_path: Path) -> None:
    """The embedded broker's events are lost, so ``up`` reports it and exits."""
    with running_up(tmp_path) as up:
        address = f"tcp://127.0.0.1:{up.environment['KAFKA_PORT']}"
        [broker] = [
            int(path.name)
            for path in Path("/proc").glob("[0-9]*")
            if address in _command_line(path)
        ]
        os.kill(broker, signal.SIGKILL)
        assert up.process.wait(30) == 1
        assert "the embedded broker ended" in up.log.read_text()


def _command_line(process: Path) -> str:
    try:
        return (process / "cmdline").read_text()
    except OSError:
        return ""


def test_up_runs_broker_index_and_worker_until_interrupted(tmp_path: Path) -> None:
    """Ctrl-C drains the worker and exits with 0."""
    picture = tmp_path / "grace-hopper.jpg"
    picture.write_bytes(portrait_bytes())
    with running_up(tmp_path) as up:
        url = f"http://127.0.0.1:{up.environment['PORT']}/health/ready"
        assert urllib.request.urlopen(url, timeout=5).status == 200
        done = subprocess.run(
            [*FACESTREAM, "submit", str(picture), "--wait"],
            env=up.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert "real" in done.stdout
        up.process.send_signal(signal.SIGINT)
        assert up.process.wait(60) == 0, up.log.read_text()
        assert "Traceback" not in up.log.read_text()

"""One Apache Kafka node: broker and controller (KRaft) in one JVM, with its own folder."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from tools.kafka.jars import class_path, java

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
#: Any UUID in base64; all nodes of a cluster share it.
CLUSTER_ID = "ZmFjZXN0cmVhbS10ZXN0cw"
LOGGING = Path(__file__).with_name("log4j2.properties")


class KafkaNode:
    """A node and its configuration; the first start formats its folder, later ones keep it.

    The broker accepts requests once ``port`` is open.
    """

    def __init__(
        self,
        folder: Path,
        properties: Mapping[str, str],
        *,
        port: int,
        heap_mb: int = 320,
        scram_users: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.port = port
        self.log_file = folder / "node.log"
        self._heap_mb = heap_mb
        self._scram_users = dict(scram_users or {})
        self._properties = {**properties, "log.dirs": str(folder / "data")}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Whether the node's process runs."""
        return self._process is not None and self._process.poll() is None

    def launch(self) -> None:
        """Start the process on the state in its folder, without waiting for it."""
        config = self.folder / "server.properties"
        if not config.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            config.write_text("".join(f"{key}={it}\n" for key, it in self._properties.items()))
            self._format(config)
        with self.log_file.open("ab") as output:
            self._process = subprocess.Popen(
                _java_command(self._heap_mb, "kafka.Kafka", str(config)),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # A process group of its own: Ctrl-C reaches the parent, which stops the node.
                start_new_session=True,
            )

    def _format(self, config: Path) -> None:
        scram = [
            argument
            for name, password in self._scram_users.items()
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
            for argument in ("--add-scram", f"{mechanism}=[name={name},password={password}]")
        ]
        arguments = ("format", "-t", CLUSTER_ID, "-c", str(config), *scram)
        done = subprocess.run(
            _java_command(128, "kafka.tools.StorageTool", *arguments),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"formatting {self.folder} failed: {done.stdout}{done.stderr}")

    def wait_open(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until the port accepts connections.

        Raises ``RuntimeError`` with the end of the log when the node ends or takes too long.
        """
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            if not self.is_running:
                raise RuntimeError(f"the node ended: {self.log_end()}")
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), timeout=0.5).close()
                return
            time.sleep(0.05)
        raise RuntimeError(f"the node was not open within {timeout_s:.0f} s: {self.log_end()}")

    def log_end(self) -> str:
        """Return the last lines of the log."""
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-15:])

    def wait(self) -> int:
        """Wait until the process ends by itself, and return its exit status."""
        return self._running().wait()

    def stop(self) -> None:
        """Shut down cleanly by SIGTERM, or by SIGKILL when that takes too long."""
        if self.is_running:
            self._running().terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._running().wait(STOP_TIMEOUT_S)
        self.kill()

    def kill(self) -> None:
        """Send SIGKILL: nothing is flushed, and the group is not left."""
        if self.is_running:
            self._running().send_signal(signal.SIGKILL)
            self._running().wait(10)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the node was not started")
        return self._process


def _java_command(heap_mb: int, main_class: str, *arguments: str) -> list[str]:
    return [
        *(java(), f"-Xmx{heap_mb}m", "-XX:+UseSerialGC"),
        # A test's broker runs for seconds: the optimising compiler would not pay.
        "-XX:TieredStopAtLevel=1",
        f"-Dlog4j2.configurationFile={LOGGING}",
        *("-cp", class_path(), main_class, *arguments),
    ]

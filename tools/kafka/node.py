"""One Apache Kafka node: broker and controller (KRaft) in one JVM, in a folder of its own."""

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
#: Any base64 UUID; all nodes of a cluster share it.
CLUSTER_ID = "ZmFjZXN0cmVhbS10ZXN0cw"
LOGGING = Path(__file__).with_name("log4j2.properties")


class KafkaNode:
    """A node with its configuration; formats its folder at the first start, then keeps its state.

    ``port`` is the one whose opening means that the broker takes requests.
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
    def pid(self) -> int:
        """Process id of the running node."""
        return self._running().pid

    @property
    def is_running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    def launch(self) -> None:
        """Start the process, with the state that it kept; does not wait."""
        config = self.folder / "server.properties"
        if not config.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            config.write_text("".join(f"{key}={it}\n" for key, it in self._properties.items()))
            self._format(config)
        with self.log_file.open("ab") as output:
            self._process = subprocess.Popen(
                [
                    java(),
                    f"-Xmx{self._heap_mb}m",
                    "-XX:+UseSerialGC",
                    # A broker of a test lives for seconds: the slow compiler would not pay.
                    "-XX:TieredStopAtLevel=1",
                    f"-Dlog4j2.configurationFile={LOGGING}",
                    *("-cp", class_path(), "kafka.Kafka", str(config)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Its own process group: Ctrl-C reaches whoever owns the node, not the node.
                start_new_session=True,
            )

    def _format(self, config: Path) -> None:
        scram = [
            argument
            for name, password in self._scram_users.items()
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
            for argument in ("--add-scram", f"{mechanism}=[name={name},password={password}]")
        ]
        done = subprocess.run(
            [
                *(java(), "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
                f"-Dlog4j2.configurationFile={LOGGING}",
                *("-cp", class_path(), "kafka.tools.StorageTool"),
                *("format", "-t", CLUSTER_ID, "-c", str(config), *scram),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"formatting {self.folder} failed: {done.stdout}{done.stderr}")

    def wait_open(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until it takes connections. Raises ``RuntimeError`` with the end of its log."""
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
        """The last lines of its log."""
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-15:])

    def wait(self) -> int:
        """Wait until it ends by itself, and return its exit status."""
        return self._running().wait()

    def stop(self) -> None:
        """SIGTERM: a controlled shutdown; SIGKILL when it takes too long."""
        if self.is_running:
            self._running().terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._running().wait(STOP_TIMEOUT_S)
        self.kill()

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, no goodbye."""
        if self.is_running:
            self._running().send_signal(signal.SIGKILL)
            self._running().wait(10)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the node was not started")
        return self._process

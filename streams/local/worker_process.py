"""A ``faust`` worker as a child process: for ``up``, ``demo`` and the tests."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from streams.config.environment import child_environment
from streams.errors import StartupError
from streams.local.child_process import end_with_parent

POLL_S = 0.05


class WorkerProcess:
    """``faust -A streams.app worker``; use it as a context manager.

    ``settings`` are environment variables, added to those of this process. ``app`` is the module of
    the Faust app.
    """

    def __init__(
        self,
        settings: Mapping[str, str],
        *,
        port: int,
        log_file: Path | None = None,
        faust_log_level: str = "info",
        app: str = "streams.app",
        host: str = "127.0.0.1",
        token: str | None = None,
    ) -> None:
        self.port = port
        self._host = host
        self._token = token or settings.get("API_TOKEN")
        self.log_file = log_file
        self._settings = {**settings, "PORT": str(port)}
        self._faust_log_level = faust_log_level
        self._app = app
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL of its web port."""
        return f"http://{self._host}:{self.port}"

    @property
    def pid(self) -> int:
        """Process id. Raises ``StartupError`` before ``start``."""
        return self._running().pid

    def start(self) -> WorkerProcess:
        """Start the process, without waiting until it is ready."""
        output = self.log_file.open("ab") if self.log_file else None
        try:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter, no shell
                [
                    *(sys.executable, "-m", "faust", "-A", self._app),
                    *("worker", "-l", self._faust_log_level),
                ],
                env=child_environment(self._settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
                # Ctrl-C reaches the parent only, which stops the worker before the broker.
                start_new_session=True,
                preexec_fn=end_with_parent,  # noqa: PLW1509 - one system call, no lock
            )
        finally:
            if output:
                output.close()
        return self

    def wait_ready(self, timeout_s: float = 30.0) -> None:
        """Wait until the worker takes events, with warm models. Raises ``StartupError``."""
        deadline = time.monotonic() + timeout_s
        while not self.is_ready():
            if time.monotonic() > deadline:
                raise StartupError(
                    f"the worker was not ready in {timeout_s:.0f} s{self._log_hint()}"
                )
            time.sleep(POLL_S)

    def is_ready(self) -> bool:
        """Whether it takes events. Raises ``StartupError`` when it ended or refuses the token."""
        if self._running().poll() is not None:
            raise StartupError(
                f"the worker ended with status {self._running().returncode}{self._log_hint()}"
            )
        status, _ = self.get("/health/ready")
        if status == 401:
            raise StartupError("the worker's web port expects another API_TOKEN")
        return status == 200

    def get(self, path: str) -> tuple[int, Any]:
        """Return status and JSON of a page of its web port; (0, None) without an answer."""
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        request = urllib.request.Request(  # noqa: S310 - an http URL
            self.url + path, headers=headers
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            body = error.read()
            try:
                return error.code, json.loads(body)
            except ValueError:
                return error.code, None
        except (OSError, ValueError):
            return 0, None

    def poll(self) -> int | None:
        """Return the worker's exit status, or None while it runs."""
        return self._running().poll()

    def kill(self) -> None:
        """Send SIGKILL and wait for the end."""
        self._running().kill()
        self._running().wait(10)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        self._running().send_signal(number)

    def stop(self, timeout_s: float = 60.0) -> int:
        """Send SIGTERM, after the time-out SIGKILL; return the exit status."""
        process = self._running()
        if process.poll() is None:
            process.terminate()
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait(10)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise StartupError("the worker process was not started")
        return self._process

    def _log_hint(self) -> str:
        if self.log_file is None or not self.log_file.exists():
            return ""
        tail = self.log_file.read_text(errors="replace").splitlines()[-15:]
        return f"; the end of {self.log_file}:\n  " + "\n  ".join(tail)

    def __enter__(self) -> WorkerProcess:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self.stop()

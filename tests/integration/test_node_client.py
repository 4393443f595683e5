"""An unchanged Node client of the two older services, against a worker on their ports."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from streams.local.embedded_broker import free_port
from tests.integration.stack import Stack
from tools.pictures import encoded, portrait, portrait_bytes

CLIENT = Path(__file__).parents[1] / "node_client"
INSTALL_TIMEOUT_S = 90


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the client with axios; skip the test where that is not possible."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    folder = tmp_path_factory.mktemp("node") / "client"
    shutil.copytree(CLIENT, folder)
    install = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
    try:
        done = _run(install, folder, INSTALL_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not install axios in {INSTALL_TIMEOUT_S} s")
    if done.returncode != 0:
        pytest.skip(f"npm cannot install axios: {done.stderr.strip()[-300:]}")
    return folder


def _run(
    command: Sequence[str | Path], folder: Path, timeout_s: float, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(command),
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


@pytest.mark.timeout(300)
def test_an_older_node_client_runs_unchanged(stack: Stack, client: Path, tmp_path: Path) -> None:
    """Its three calls succeed within its own five seconds, and it understands a failure."""
    pictures = {
        "face.jpg": portrait_bytes(),
        "other.png": encoded(Image.new("RGB", (320, 240), "skyblue"), "PNG"),
        "crop.png": encoded(portrait().crop((160, 120, 360, 320)).resize((112, 112)), "PNG"),
    }
    for name, picture in pictures.items():
        (tmp_path / name).write_bytes(picture)
    detection, embedding = free_port(), free_port()
    with stack.worker(LEGACY_PORTS=f"{detection},{embedding}"):
        done = _run(
            ["node", "client.js", *(tmp_path / name for name in pictures)],
            client,
            60,
            FACE_DETECTION_SERVICE=f"http://127.0.0.1:{detection}",
            FACE_EMBEDDING_SERVICE=f"http://127.0.0.1:{embedding}",
            # A proxy of the machine must not receive loopback requests.
            NO_PROXY="127.0.0.1",
        )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)

    assert told["health"]["status"] == "healthy"
    assert [one["status"] for one in told["health"]["services"].values()] == ["healthy"] * 2

    (face,) = told["faces"]
    assert set(face) == {"bbox", "landmarks", "confidence"}
    box = face["bbox"]
    for x, y in face["landmarks"].values():
        assert 0 < x - box["x"] < box["width"]
        assert 0 < y - box["y"] < box["height"]
    assert face["confidence"] > 0.9
    assert told["facesOfOther"] == []

    for embedded in (told["embedding"], told["embeddingOfCrop"]):
        assert sum(value * value for value in embedded["embedding"]) == pytest.approx(1.0, abs=1e-4)
        assert len(embedded["embedding"]) == 128
    assert 0.5 < told["embedding"]["quality"] <= 1
    assert 0.5 < told["embedding"]["confidence"] <= 1

    failure = told["failureOfOther"]
    assert failure["status"] == 422
    assert failure["body"]["success"] is False
    assert "No face found" in failure["body"]["message"]

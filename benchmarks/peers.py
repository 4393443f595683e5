"""The alternatives to facestream as contenders, each on the same weights."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import onnx

from benchmarks.contenders import ROOT, Contender, Load, Run, consumed
from benchmarks.topic_load import BenchBroker, NoProgress, bench_broker
from models.weights import find_weights
from streams.local.child_process import end_with_parent
from streams.local.embedded_broker import free_port

SAME_SIDE = 320
"""The longest side of facestream's first detection (``models/detection/yunet.py``)."""

DEEPFACE_FILES = (
    "face_detection_yunet_2023mar.onnx",
    "face_recognition_sface_2021dec.onnx",
)


@dataclass(frozen=True)
class PeerWeights:
    """Paths of YuNet and SFace files that OpenCV can load."""

    detector: Path
    embedder: Path

    @property
    def options(self) -> list[str]:
        return ["--detector", str(self.detector), "--embedder", str(self.embedder)]


def peer_weights(folder: Path) -> PeerWeights:
    """Write the published weights, SFace without the stale graph inputs that OpenCV 5 rejects.

    They are where DeepFace looks for them if ``DEEPFACE_HOME`` is ``folder``.
    """
    into = folder / ".deepface" / "weights"
    into.mkdir(parents=True, exist_ok=True)
    detector, embedder = (into / name for name in DEEPFACE_FILES)
    shutil.copyfile(find_weights("yunet"), detector)
    model = onnx.load(find_weights("sface"))
    del model.graph.input[1:]
    onnx.save(model, embedder)
    return PeerWeights(detector, embedder)


def opencv(weights: PeerWeights, *, threads: int, same_size: bool) -> Contender:
    """Run the OpenCV consumer; with 0 threads it handles one event after the other."""
    command = ["-m", "benchmarks.opencv_consumer", *weights.options, "--threads", str(threads)]
    return _consuming([*command, "--side", str(SAME_SIDE if same_size else 0)])


def deepface(weights: PeerWeights, python: str) -> Contender:
    """Run the DeepFace consumer, one event after the other: TensorFlow has its own threads."""
    home = weights.detector.parents[2]
    return _consuming(
        ["-m", "benchmarks.deepface_consumer"],
        python=python,
        environment={"DEEPFACE_HOME": str(home), "PYTHONPATH": str(ROOT)},
    )


def deepface_missing(python: str) -> str | None:
    """Return why this interpreter cannot run DeepFace, or None."""
    check = "import deepface, aiokafka, qdrant_client"
    try:
        ended = subprocess.run(  # noqa: S603 - the interpreter that the caller names
            [python, "-c", check], capture_output=True, text=True, check=False, timeout=300
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return ended.stderr.strip().splitlines()[-1] if ended.returncode else None


def two_services(weights: PeerWeights, *, threads: int) -> Contender:
    """Run two HTTP services and a consumer that calls them for several pictures at once."""

    async def run(load: Load, folder: Path) -> Run:
        async with bench_broker(folder) as bench:
            module, urls = ["-m", "benchmarks.face_services"], []
            with ExitStack() as stack:
                processes = []
                for role in ("detect", "embed"):
                    port = free_port()
                    urls += [f"--{role}", f"http://127.0.0.1:{port}"]
                    command = [*module, role, "--port", str(port), *weights.options]
                    processes.append(stack.enter_context(_running(command, folder / role)))
                command = [*module, "consume", *urls, "--threads", str(threads)]
                processes.append(stack.enter_context(_consumer(command, bench)))
                return await _answered(bench, load, processes, folder)

    return run


def _consuming(
    command: Sequence[str],
    python: str = sys.executable,
    environment: Mapping[str, str] | None = None,
) -> Contender:
    async def run(load: Load, folder: Path) -> Run:
        async with bench_broker(folder) as bench:
            with _consumer(command, bench, python, environment) as process:
                return await _answered(bench, load, [process], folder)

    return run


async def _answered(
    bench: BenchBroker, load: Load, processes: Sequence[subprocess.Popen[bytes]], folder: Path
) -> Run:
    def check() -> None:
        for process in processes:
            if process.poll() is not None:
                raise NoProgress(
                    f"a peer ended with status {process.poll()}; its log is in {folder}"
                )

    pids = [one.pid for one in processes]
    return await consumed(bench, load, binary=False, pids=pids, check=check)


def _consumer(
    command: Sequence[str],
    bench: BenchBroker,
    python: str = sys.executable,
    environment: Mapping[str, str] | None = None,
) -> AbstractContextManager[subprocess.Popen[bytes]]:
    arguments = ["--broker", bench.broker, "--index", str(bench.folder / "index")]
    return _running([*command, *arguments], bench.folder / "consumer", python, environment)


@contextmanager
def _running(
    command: Sequence[str],
    log: Path,
    python: str = sys.executable,
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    with log.with_suffix(".log").open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - a fixed command
            [python, *command],
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=end_with_parent,  # noqa: PLW1509 - one system call, no lock
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()

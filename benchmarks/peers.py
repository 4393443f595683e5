"""What people would use instead, each on the same weights as ours, as `contenders.py` has it."""

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
from benchmarks.topic_load import Ground, Stuck, ground
from models.weights import find_weights
from streams.local.child_process import end_with_parent
from streams.local.embedded_broker import free_port

SAME_SIDE = 320
"""The longest side at which ours looks for one face first (`models/detection/yunet.py`)."""

DEEPFACE_FILES = (
    "face_detection_yunet_2023mar.onnx",
    "face_recognition_sface_2021dec.onnx",
)


@dataclass(frozen=True)
class PeerWeights:
    """YuNet and SFace as files that OpenCV loads."""

    detector: Path
    embedder: Path

    @property
    def options(self) -> list[str]:
        return ["--detector", str(self.detector), "--embedder", str(self.embedder)]


def peer_weights(folder: Path) -> PeerWeights:
    """The published files; SFace without the stale graph inputs on which OpenCV 5 stumbles.

    Lies where DeepFace looks below `folder`, as DEEPFACE_HOME.
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
    """FaceDetectorYN and FaceRecognizerSF; 0 threads: one event after the other."""
    command = ["-m", "benchmarks.opencv_consumer", *weights.options, "--threads", str(threads)]
    return _consuming([*command, "--side", str(SAME_SIDE if same_size else 0)])


def deepface(weights: PeerWeights, python: str) -> Contender:
    """`DeepFace.represent`, one event after the other: TensorFlow brings threads of its own."""
    home = weights.detector.parents[2]
    return _consuming(
        ["-m", "benchmarks.deepface_consumer"],
        python=python,
        environment={"DEEPFACE_HOME": str(home), "PYTHONPATH": str(ROOT)},
    )


def deepface_missing(python: str) -> str | None:
    """Why DeepFace cannot be measured with this interpreter, or None."""
    check = "import deepface, aiokafka, qdrant_client"
    try:
        ended = subprocess.run(  # noqa: S603 - the interpreter that the caller names
            [python, "-c", check], capture_output=True, text=True, check=False, timeout=300
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return ended.stderr.strip().splitlines()[-1] if ended.returncode else None


def two_services(weights: PeerWeights, *, threads: int) -> Contender:
    """Two HTTP services, and a consumer that calls them for so many pictures at once."""

    async def run(load: Load, folder: Path) -> Run:
        async with ground(folder) as place:
            module, urls = ["-m", "benchmarks.face_services"], []
            with ExitStack() as stack:
                processes = []
                for role in ("detect", "embed"):
                    port = free_port()
                    urls += [f"--{role}", f"http://127.0.0.1:{port}"]
                    command = [*module, role, "--port", str(port), *weights.options]
                    processes.append(stack.enter_context(_running(command, folder / role)))
                command = [*module, "consume", *urls, "--threads", str(threads)]
                processes.append(stack.enter_context(_consumer(command, place)))
                return await _answered(place, load, processes, folder)

    return run


def _consuming(
    command: Sequence[str],
    python: str = sys.executable,
    environment: Mapping[str, str] | None = None,
) -> Contender:
    async def run(load: Load, folder: Path) -> Run:
        async with ground(folder) as place:
            with _consumer(command, place, python, environment) as process:
                return await _answered(place, load, [process], folder)

    return run


async def _answered(
    place: Ground, load: Load, processes: Sequence[subprocess.Popen[bytes]], folder: Path
) -> Run:
    def check() -> None:
        for process in processes:
            if process.poll() is not None:
                raise Stuck(f"a peer ended with status {process.poll()}; its log is in {folder}")

    pids = [one.pid for one in processes]
    return await consumed(place, load, binary=False, pids=pids, check=check)


def _consumer(
    command: Sequence[str],
    place: Ground,
    python: str = sys.executable,
    environment: Mapping[str, str] | None = None,
) -> AbstractContextManager[subprocess.Popen[bytes]]:
    arguments = ["--broker", place.broker, "--index", str(place.folder / "index")]
    return _running([*command, *arguments], place.folder / "consumer", python, environment)


@contextmanager
def _running(
    command: Sequence[str],
    log: Path,
    python: str = sys.executable,
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    with log.with_suffix(".log").open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own command
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

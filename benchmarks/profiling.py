"""``make profile``: profile the worker's threads, and the models' operators in onnxruntime.

Writes a flame graph of a worker on a full topic with a column per thread (py-spy), and prints the
time of each kind of operator in one run of the prepared graphs (onnxruntime's profiler).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import onnxruntime

from benchmarks.contenders import raise_if_ended
from benchmarks.facestream_worker import worker_on
from benchmarks.picture_sets import vga
from benchmarks.topic_load import TopicFiller, answers_of, bench_broker
from models.graphs.preparation import prepared_graph
from models.manifest import describe
from models.weights import find_weights
from streams.config.settings import pinned_settings

WARM, EVENTS, SECONDS = 150, 1200, 10
RUNS = 100
SHAPES = {"yunet": (1, 3, 256, 320), "sface": (1, 3, 112, 112)}
"""Input shapes for a picture of 640 x 480 with one face."""


async def profile_worker(into: Path, *, binary: bool) -> None:
    """Record a flame graph of ten seconds under load."""
    with tempfile.TemporaryDirectory(prefix="facestream-profile-") as folder:
        async with bench_broker(Path(folder)) as bench:
            async with TopicFiller(bench, vga(), binary=binary) as filler:
                await filler.publish(WARM + EVENTS)
            with worker_on(bench) as worker:
                await answers_of(bench, WARM, lambda: raise_if_ended(worker))
                command = [str(Path(sys.executable).with_name("py-spy")), "record"]
                command += ["--pid", str(worker.pid), "--duration", str(SECONDS), "--threads"]
                command += ["--rate", "200", "--output", str(into)]
                await asyncio.to_thread(subprocess.run, command, check=True)
                worker.kill()


def operators(model: str) -> list[tuple[str, float]]:
    """Return the milliseconds of each kind of operator in one run, the longest first."""
    description = describe(model)
    graph = prepared_graph(description, find_weights(description), pinned_settings().model_cache)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_profiling = True
    with tempfile.TemporaryDirectory(prefix="facestream-profile-") as folder:
        options.profile_file_prefix = str(Path(folder) / model)
        session = onnxruntime.InferenceSession(
            str(graph) if isinstance(graph, Path) else graph,
            options,
            providers=["CPUExecutionProvider"],
        )
        tensor = np.zeros(SHAPES[model], np.float32)
        for _ in range(RUNS):
            session.run(None, {session.get_inputs()[0].name: tensor})
        events = json.loads(Path(session.end_profiling()).read_text())
    spent: Counter[str] = Counter()
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            spent[event["args"]["op_name"]] += event["dur"]
    return [(name, micros / 1000 / RUNS) for name, micros in spent.most_common()]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("var/bench/worker.svg"))
    parser.add_argument("--binary", action="store_true", help="events in binary mode")
    options = parser.parse_args()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    asyncio.run(profile_worker(options.output, binary=options.binary))
    for model in SHAPES:
        for name, milliseconds in operators(model):
            print(f"{model} {name}: {milliseconds:.3f} ms")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

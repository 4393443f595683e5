"""The limit: our own pipeline in a loop over pictures in memory. No Kafka, no index.

Run as a process of its own: `python -m benchmarks.bare FOLDER --threads 2 --pictures 400`, which
prints one line of JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from models.decoding import DecodeLimits
from models.pipeline import FacePipeline, load_pipeline

MIN_CONFIDENCE = 0.7
"""The default of an event."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of JPEGs")
    parser.add_argument("--cache", type=Path, required=True, help="folder of prepared graphs")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--max-faces", type=int, default=1)
    parser.add_argument("--warm", type=int, default=20, help="pictures before measuring")
    parser.add_argument("--pictures", type=int, default=200)
    options = parser.parse_args()
    files = [path.read_bytes() for path in sorted(options.folder.iterdir())]
    pipeline = load_pipeline(model_path=None, cache_dir=options.cache, limits=DecodeLimits())
    pipeline.warm_up()

    def score(picture: bytes) -> tuple[float, int]:
        return _score(pipeline, picture, options.max_faces)

    pictures = itertools.cycle(files)
    with ThreadPoolExecutor(options.threads) as pool:
        list(pool.map(score, itertools.islice(pictures, options.warm)))
        started, cpu = time.perf_counter(), time.process_time()
        scored = list(pool.map(score, itertools.islice(pictures, options.pictures)))
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    result = {
        "events": len(scored),
        "seconds": seconds,
        "cpu_s": cpu,
        "faces": sum(faces for _, faces in scored),
        "latencies_ms": [round(ms, 3) for ms, _ in scored],
    }
    json.dump(result, sys.stdout)
    return 0


def _score(pipeline: FacePipeline, picture: bytes, max_faces: int) -> tuple[float, int]:
    started = time.perf_counter()
    found = pipeline.score(picture, min_confidence=MIN_CONFIDENCE, max_faces=max_faces)
    return (time.perf_counter() - started) * 1000, len(found.faces)


if __name__ == "__main__":
    raise SystemExit(main())

"""The upper bound: the pipeline in a loop over pictures in memory, without Kafka and index.

``python -m benchmarks.bare FOLDER --threads 2 --pictures 400`` runs it in its own process, which
prints one line of JSON.

Pictures come one after the other, with a pause before each, or as a Poisson stream. In a stream
they wait for a thread when all are busy.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from models.loading import load_pipeline
from models.pictures.decoding import DecodeLimits
from models.pipeline import FacePipeline

MIN_CONFIDENCE = 0.7
"""The default of ``min_confidence`` in an event."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of JPEGs")
    parser.add_argument("--cache", type=Path, required=True, help="folder of prepared graphs")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--max-faces", type=int, default=1)
    parser.add_argument("--warm", type=int, default=20, help="pictures before measuring")
    parser.add_argument("--pictures", type=int, default=200)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--pause-ms", type=float, default=0.0, help="before each picture")
    how.add_argument("--rate", type=float, help="pictures per second of a Poisson stream")
    parser.add_argument("--seed", type=int, default=0, help="seed of the stream")
    options = parser.parse_args()
    files = [path.read_bytes() for path in sorted(options.folder.iterdir())]
    pipeline = load_pipeline(model_path=None, cache_dir=options.cache, limits=DecodeLimits())
    pipeline.warm_up()

    def score(picture: bytes, due: float | None = None) -> tuple[float, int]:
        return _score(pipeline, picture, options.max_faces, due)

    def paused(picture: bytes) -> tuple[float, int]:
        time.sleep(options.pause_ms / 1000)
        return score(picture)

    pictures = itertools.cycle(files)
    with ThreadPoolExecutor(options.threads) as pool:
        list(pool.map(score, itertools.islice(pictures, options.warm)))
        started, cpu = time.perf_counter(), time.process_time()
        measured = itertools.islice(pictures, options.pictures)
        if options.rate:
            scored = _at_rate(pool, score, measured, options.rate, options.seed)
        else:
            scored = list(pool.map(paused if options.pause_ms else score, measured))
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


def _at_rate(
    pool: ThreadPoolExecutor,
    score: Callable[[bytes, float], tuple[float, int]],
    pictures: Iterable[bytes],
    rate: float,
    seed: int,
) -> list[tuple[float, int]]:
    """Score pictures as a Poisson stream; each latency counts from when the picture was due."""
    due, results = time.perf_counter(), []
    for picture, gap in zip(pictures, poisson_gaps(rate, seed), strict=False):
        due += gap
        time.sleep(max(0.0, due - time.perf_counter()))
        results.append(pool.submit(score, picture, due))
    return [result.result() for result in results]


def poisson_gaps(rate: float, seed: int) -> Iterator[float]:
    """Yield the seconds from one event to the next, ``rate`` per second on average, endlessly."""
    rng = random.Random(seed)  # noqa: S311 - a load
    while True:
        yield rng.expovariate(rate)


def _score(
    pipeline: FacePipeline, picture: bytes, max_faces: int, due: float | None
) -> tuple[float, int]:
    """Return the milliseconds since the picture was due (by default now), and its faces."""
    started = time.perf_counter() if due is None else due
    found = pipeline.score(picture, min_confidence=MIN_CONFIDENCE, max_faces=max_faces)
    return (time.perf_counter() - started) * 1000, len(found.faces)


if __name__ == "__main__":
    raise SystemExit(main())

"""Stand-in scores for when no real ones can be had: made from the picture's hash alone.

The same picture gets the same scores on every platform and Python version. They say nothing
about the face, and whoever passes them on marks them as simulated.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

FLOOR = 0.1
"""Real scores never go below it either: see `quality.py`."""


@dataclass(frozen=True)
class SimulatedScores:
    """Scores in 0.1..1; `embedding` has length 1."""

    quality: float
    frontality: float
    symmetry: float
    resolution: float
    confidence: float
    embedding: tuple[float, ...]


def simulate(seed_sha256_hex: str, embedding_size: int) -> SimulatedScores:
    """The scores that belong to a picture's sha256.

    Only integer hashing, exact sums and IEEE square root and division are used, which round
    alike everywhere; `random` and the libm functions need not.
    """
    if embedding_size < 1:
        raise ValueError(f"embedding_size must be at least 1, not {embedding_size}")
    stream = _uniform(seed_sha256_hex)
    quality, frontality, symmetry, resolution, confidence = (
        FLOOR + (1.0 - FLOOR) * next(stream) for _ in range(5)
    )
    raw = [2.0 * next(stream) - 1.0 for _ in range(embedding_size)]
    norm = math.sqrt(math.fsum(value * value for value in raw))
    return SimulatedScores(
        quality=quality,
        frontality=frontality,
        symmetry=symmetry,
        resolution=resolution,
        confidence=confidence,
        embedding=tuple(value / norm for value in raw),
    )


def _uniform(seed: str) -> Iterator[float]:
    """Numbers strictly between 0 and 1, from SHA-256 in counter mode."""
    counter = 0
    while True:
        block = hashlib.sha256(f"facestream-simulated-v1:{seed}:{counter}".encode()).digest()
        for start in range(0, len(block), 4):
            # The half keeps 0 out, so that no vector can be all zeros.
            yield (int.from_bytes(block[start : start + 4], "big") + 0.5) / 2**32
        counter += 1

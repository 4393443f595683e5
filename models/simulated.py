"""Simulated scores, derived from the picture's SHA-256 alone, for when no real ones exist.

The same picture gets the same scores on every platform and Python version. They carry no
information about the face; the caller must mark them as simulated.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

FLOOR = 0.1
"""The least score, as in ``quality/formulas.py``."""


@dataclass(frozen=True)
class SimulatedScores:
    """Scores in 0.1..1; ``embedding`` has length 1."""

    quality: float
    frontality: float
    symmetry: float
    resolution: float
    confidence: float
    embedding: tuple[float, ...]


def simulate(seed_sha256_hex: str, embedding_size: int) -> SimulatedScores:
    """Compute the scores for a picture's SHA-256, in hexadecimal.

    Uses only integer hashing, exact sums, and IEEE square root and division, because these round
    alike everywhere; ``random`` and the functions of libm do not. Raises ``ValueError`` for an
    embedding size below 1.
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
    """Yield numbers strictly between 0 and 1, from SHA-256 in counter mode."""
    counter = 0
    while True:
        block = hashlib.sha256(f"facestream-simulated-v1:{seed}:{counter}".encode()).digest()
        for start in range(0, len(block), 4):
            # Adding a half keeps 0 out, so that no vector is all zeros.
            yield (int.from_bytes(block[start : start + 4], "big") + 0.5) / 2**32
        counter += 1

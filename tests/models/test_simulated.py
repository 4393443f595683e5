"""Simulated scores are reproducible and in range."""

from __future__ import annotations

import math
from dataclasses import astuple

import pytest

from models.simulated import simulate

SEED = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

GOLDEN = (
    0.5632612739806063,
    0.5341728016617708,
    0.7277871755301021,
    0.9396740807103925,
    0.43859112503705544,
    -0.11260008903383985,
    0.0023475687236956594,
    -0.08435155354535931,
)


def test_golden_values() -> None:
    """The same seed gives exactly these values on every platform and Python version."""
    scores = simulate(SEED, 128)
    assert GOLDEN == (*astuple(scores)[:5], *scores.embedding[:3])


def test_scores_lie_in_range_and_the_embedding_has_length_one() -> None:
    """Like real ones: scores in 0.1..1, and a unit vector of the requested size."""
    for number in range(200):
        scores = simulate(f"{number:064x}", 512)
        assert all(0.1 <= score <= 1.0 for score in astuple(scores)[:5])
        assert 512 == len(scores.embedding)
        assert math.fsum(v * v for v in scores.embedding) == pytest.approx(1.0, abs=1e-12)


def test_two_pictures_differ() -> None:
    """They have no score in common, and their embeddings are far apart."""
    one, other = simulate(SEED, 128), simulate(SEED[::-1], 128)
    assert not set(astuple(one)[:5]) & set(astuple(other)[:5])
    similarity = math.fsum(a * b for a, b in zip(one.embedding, other.embedding, strict=True))
    assert abs(similarity) < 0.4


def test_an_empty_embedding_is_refused() -> None:
    """A size below 1 is a mistake of the caller."""
    with pytest.raises(ValueError, match="at least 1, not 0"):
        simulate(SEED, 0)

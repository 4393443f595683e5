"""Attempts at inference: what the circuit records."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from models.errors import InferenceFailed, UnreadableImage
from models.pipeline import FacePipeline, ScoredImage
from streams.errors import InferenceTimeout
from streams.inference.circuit import Circuit
from streams.inference.pool import InferencePool
from tools.pictures import crowd_bytes, portrait_bytes

FAILS = b"makes the models fail"


@dataclasses.dataclass(frozen=True)
class FragilePipeline(FacePipeline):
    """The real pipeline; fails for the picture ``FAILS``."""

    def score(self, image: bytes, **options: Any) -> ScoredImage:
        """Score a picture, or fail."""
        if image == FAILS:
            raise InferenceFailed("tests", "made to fail")
        return super().score(image, **options)


@pytest.fixture
def fragile(pipeline: FacePipeline) -> FragilePipeline:
    """The real models in a ``FragilePipeline``."""
    return FragilePipeline(pipeline.face_detector, pipeline.face_embedder, pipeline.limits)


def circuit_that_stays_closed() -> Circuit:
    """Make a circuit that records attempts and never opens."""
    return Circuit(threshold=0, window=10, minimum=1)


async def recorded(pipeline: FacePipeline, image: bytes, timeout_s: float = 60) -> list[bool]:
    """Return what the circuit records for one attempt: nothing, or whether it succeeded."""
    circuit = circuit_that_stays_closed()
    pool = InferencePool(lambda: pipeline, threads=1, timeout_s=timeout_s, circuit=circuit)
    await pool.start()
    try:
        await pool.score(image, min_confidence=0.5, max_faces=64)
    except (InferenceFailed, InferenceTimeout, UnreadableImage):
        pass
    finally:
        await pool.stop()
    return list(circuit._recent)


async def test_the_circuit_records_how_the_models_performed(fragile: FragilePipeline) -> None:
    """A score, a failure and a time-out count; a broken picture is not recorded."""
    assert [True] == await recorded(fragile, portrait_bytes())
    assert [False] == await recorded(fragile, FAILS)
    assert [False] == await recorded(fragile, crowd_bytes(), timeout_s=0.01)
    assert [] == await recorded(fragile, b"no picture")


async def test_the_probe_scores_the_built_in_picture(fragile: FragilePipeline) -> None:
    """It is scored in the pool like any other, and recorded."""
    circuit = circuit_that_stays_closed()
    pool = InferencePool(lambda: fragile, threads=1, timeout_s=60, circuit=circuit)
    await pool.start()
    await pool.probe()
    await pool.stop()
    assert [True] == list(circuit._recent)

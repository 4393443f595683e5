"""The probe behind the health pages: real inferences, and whom it tells."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from models.pipeline import FacePipeline
from streams.inference.circuit import Circuit
from streams.inference.model_probe import ModelHealth, ModelProbe
from streams.inference.pool import InferencePool
from tools.pictures import portrait_bytes


@pytest.fixture
def circuit() -> Circuit:
    return Circuit(threshold=0.7, window=10, minimum=2)


@pytest.fixture
async def pool(pipeline: FacePipeline, circuit: Circuit) -> AsyncIterator[InferencePool]:
    pool = InferencePool(lambda: pipeline, threads=1, timeout_s=60, circuit=circuit)
    await pool.start()
    yield pool
    await pool.stop()


async def test_asking_for_the_health_does_not_hide_failures_from_the_circuit(
    pool: InferencePool, circuit: Circuit
) -> None:
    """Of the attempts at users' pictures 0 % succeeded, however often the page is asked."""
    circuit.record(circuit.begin(), succeeded=False)
    for _ in range(5):
        # A probe of its own each time, as after a while.
        probe = ModelProbe(pool, timeout_s=60)
        assert await probe.health() == ModelHealth(detects=True, embeds=True)
    assert circuit.success_share == 0
    circuit.record(circuit.begin(), succeeded=False)
    assert not circuit.is_closed


async def test_calls_of_clients_count(pool: InferencePool, circuit: Circuit) -> None:
    """detect-face and extract-embedding are real attempts as well."""
    await pool.detect(portrait_bytes(), min_confidence=0.7)
    await pool.embed_aligned(portrait_bytes())
    circuit.record(circuit.begin(), succeeded=False)
    assert circuit.success_share == pytest.approx(2 / 3)

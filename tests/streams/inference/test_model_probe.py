"""The probe of the health pages: real inferences that the circuit does not record."""

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
    """A circuit that opens at the second failure."""
    return Circuit(threshold=0.7, window=10, minimum=2)


@pytest.fixture
async def pool(pipeline: FacePipeline, circuit: Circuit) -> AsyncIterator[InferencePool]:
    """A started pool that records its attempts in the circuit."""
    pool = InferencePool(lambda: pipeline, threads=1, timeout_s=60, circuit=circuit)
    await pool.start()
    yield pool
    await pool.stop()


async def test_health_checks_do_not_hide_failures_from_the_circuit(
    pool: InferencePool, circuit: Circuit
) -> None:
    """The success share stays 0 % however often the health page is read."""
    circuit.record(circuit.begin(), succeeded=False)
    for _ in range(5):
        # A new probe each time, because one remembers its last result.
        probe = ModelProbe(pool, timeout_s=60)
        assert await probe.health() == ModelHealth(detects=True, embeds=True)
    assert circuit.success_share == 0
    circuit.record(circuit.begin(), succeeded=False)
    assert not circuit.is_closed


async def test_requests_of_clients_are_recorded(pool: InferencePool, circuit: Circuit) -> None:
    """``detect-face`` and ``extract-embedding`` are real attempts too."""
    await pool.detect(portrait_bytes(), min_confidence=0.7)
    await pool.embed_aligned(portrait_bytes())
    circuit.record(circuit.begin(), succeeded=False)
    assert circuit.success_share == pytest.approx(2 / 3)

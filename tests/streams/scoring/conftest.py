"""The inference pool for tests of scoring."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from models.pipeline import FacePipeline
from streams.config.settings import Settings, load_settings
from streams.inference.circuit import Circuit
from streams.inference.pool import InferencePool
from streams.scoring.scorer import Scorer
from streams.telemetry.metrics import Metrics
from tests.fakes import FakeImages, FakePool
from tests.streams.scoring.scoring_parts import Scoring


@pytest.fixture
async def pool(pipeline: FacePipeline) -> AsyncIterator[InferencePool]:
    """A started pool with the real models."""
    real = InferencePool(lambda: pipeline, threads=1, timeout_s=60.0)
    await real.start()
    yield real
    await real.stop()


@pytest.fixture
def settings(no_environment: None) -> Settings:
    """Three attempts without waits between them."""
    return load_settings(ml_backoff_ms=0, ml_attempts=3)


@pytest.fixture
def scoring(settings: Settings) -> Callable[..., Scoring]:
    """A function that makes a ``Scoring`` with given outcomes of pool and picture store."""

    def make(*outcomes: Exception, images: list[bytes | Exception] | None = None) -> Scoring:
        pool, store = FakePool(list(outcomes)), FakeImages(images or [])
        circuit, metrics = Circuit(threshold=0.7, window=10, minimum=1), Metrics()
        waits: list[None] = []
        scorer = Scorer(
            settings,
            pool,  # type: ignore[arg-type]
            store,
            circuit=circuit,
            is_leaving=lambda: False,
            on_wait=lambda: waits.append(None),
        )
        return Scoring(scorer, pool, store, circuit, metrics, waits)

    return make

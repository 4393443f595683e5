"""The inference pool for tests of scoring."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from models.pipeline import FacePipeline
from streams.inference.pool import InferencePool


@pytest.fixture
async def pool(pipeline: FacePipeline) -> AsyncIterator[InferencePool]:
    """A started pool with the real models."""
    real = InferencePool(lambda: pipeline, threads=1, timeout_s=60.0)
    await real.start()
    yield real
    await real.stop()

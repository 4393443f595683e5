"""Probes the models with a built-in picture: do they work, and fast enough?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

from models.built_in_picture import built_in_picture
from models.errors import ModelsError
from streams.errors import InferenceTimeout
from streams.inference.pool import InferencePool

#: Least confidence of the face in the built-in picture, as at warm-up.
MIN_CONFIDENCE = 0.5
#: The models are probed at most this often.
FRESH_S = 2.0


@dataclass(frozen=True, slots=True)
class ModelHealth:
    """The result of a probe; ``problem`` says what is wrong."""

    detects: bool
    embeds: bool
    problem: str | None = None

    @property
    def healthy(self) -> bool:
        """Whether both models work."""
        return self.detects and self.embeds


class ModelProbe:
    """Runs real inferences through the pool, so that its queue counts as well.

    The circuit does not record them: a page that is read every few seconds would outweigh the
    pictures of users, which may fail where the built-in one succeeds.
    """

    def __init__(self, pool: InferencePool, *, timeout_s: float) -> None:
        self._pool = pool
        self._timeout_s = timeout_s
        self._lock = asyncio.Lock()
        self._last: tuple[float, ModelHealth] | None = None

    async def health(self) -> ModelHealth:
        """Return the last probe's result, or a new one if that is older than ``FRESH_S``."""
        if not self._pool.ready:
            return ModelHealth(detects=False, embeds=False, problem="the models are being loaded")
        async with self._lock:
            if self._last is None or time.monotonic() - self._last[0] > FRESH_S:
                self._last = time.monotonic(), await self._probe()
            return self._last[1]

    async def _probe(self) -> ModelHealth:
        picture = built_in_picture()
        detection = await self._problem_of(
            self._pool.detect(picture, min_confidence=MIN_CONFIDENCE, recorded=False), "detector"
        )
        embedding = await self._problem_of(
            self._pool.embed_aligned(picture, recorded=False), "embedder"
        )
        problems = [problem for problem in (detection, embedding) if problem]
        return ModelHealth(
            detects=detection is None,
            embeds=embedding is None,
            problem="; ".join(problems) or None,
        )

    async def _problem_of(self, inference: Awaitable[Any], model: str) -> str | None:
        try:
            async with asyncio.timeout(self._timeout_s):
                found = await inference
        except TimeoutError:
            return f"the {model} did not answer in {self._timeout_s * 1000:.0f} ms"
        except (ModelsError, InferenceTimeout) as error:
            return str(error)
        if getattr(found, "faces", True):
            return None
        return f"the {model} does not find the face in the built-in picture"

"""Bounded retries with growing, jittered waits, for steps that may succeed later."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from streams.config.model_settings import ModelSettings
from streams.engine.publishing import pause
from streams.telemetry.handling import Handling
from streams.telemetry.metrics import Tried

T = TypeVar("T")


class Retries:
    """``ML_ATTEMPTS`` attempts, with waits of ``ML_BACKOFF_MS`` times 1, 2, … plus jitter."""

    def __init__(
        self,
        settings: ModelSettings,
        *,
        is_leaving: Callable[[], bool],
        on_wait: Callable[[], None] = lambda: None,
    ) -> None:
        """``on_wait`` is called before each retry."""
        self._attempts = settings.ml_attempts
        self._step_s = settings.ml_backoff_ms / 1000
        self._is_leaving = is_leaving
        self._on_wait = on_wait

    async def run(
        self,
        tried: Tried,
        attempt: Callable[[int], Awaitable[T]],
        transient: tuple[type[Exception], ...],
        handling: Handling,
    ) -> T:
        """Call ``attempt`` with its number, from 1, until it succeeds or fails for good.

        Raises the last error as it is, or ``Abandoned`` when the worker is leaving before a retry.
        """
        number = 1
        while True:
            try:
                return await attempt(number)
            except transient:
                if number >= self._attempts:
                    raise
            handling.retry(tried)
            self._on_wait()
            jitter = random.uniform(0, self._step_s / 4)  # noqa: S311 - no secret
            await pause(self._step_s * number + jitter, self._is_leaving)
            number += 1

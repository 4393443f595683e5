"""Bounded retries with growing back-off and jitter, for what can succeed later."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    wait_incrementing,
)
from tenacity.wait import wait_random

from streams.config.settings import Settings
from streams.engine.publishing import pause

T = TypeVar("T")


async def with_retries(
    attempt: Callable[[int], Awaitable[T]],
    settings: Settings,
    transient: tuple[type[Exception], ...],
    is_leaving: Callable[[], bool],
    on_retry: Callable[[], None],
) -> T:
    """``ML_ATTEMPTS`` attempts, ``ML_BACKOFF_MS`` times 1, 2, … between them, plus jitter.

    ``attempt`` is given its number, from 1. ``on_retry`` is told of each attempt that will be made
    again. The last error is raised as it is. Raises ``Abandoned`` instead of waiting on when the
    worker is stopping or rebalancing.
    """
    try:
        return await attempt(1)
    except transient as error:
        # The rest is tenacity's, whose machinery costs 0.1 ms: nothing for one that failed.
        first = error
    try:
        async for again in _retrying(settings, transient, is_leaving, on_retry):
            with again:
                number = again.retry_state.attempt_number
                if number == 1:
                    raise first
                return await attempt(number)
        raise AssertionError("retrying ends by a return or a raise")
    finally:
        # It holds its frames, and they it: the picture would stay until the next full collection.
        del first


def _retrying(
    settings: Settings,
    transient: tuple[type[Exception], ...],
    is_leaving: Callable[[], bool],
    on_retry: Callable[[], None],
) -> AsyncRetrying:
    def before_sleep(_: RetryCallState) -> None:
        on_retry()

    step = settings.ml_backoff_ms / 1000
    return AsyncRetrying(
        stop=stop_after_attempt(settings.ml_attempts),
        wait=wait_incrementing(start=step, increment=step) + wait_random(0, step / 4),
        retry=retry_if_exception_type(transient),
        sleep=lambda seconds: pause(seconds, is_leaving),
        before_sleep=before_sleep,
        reraise=True,
    )

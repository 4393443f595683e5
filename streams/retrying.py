"""Bounded retries with growing back-off and jitter, for what can succeed later."""

from __future__ import annotations

from collections.abc import Callable

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_incrementing,
)
from tenacity.wait import wait_random

from streams.publishing import pause
from streams.settings import Settings


def retrying(
    settings: Settings,
    is_transient: Callable[[BaseException], bool],
    is_leaving: Callable[[], bool],
    on_retry: Callable[[], None],
) -> AsyncRetrying:
    """``ML_ATTEMPTS`` attempts, ``ML_BACKOFF_MS`` times 1, 2, … between them, plus jitter.

    ``on_retry`` is told of each attempt that will be made again.
    The last error is raised as it is. Raises ``Abandoned`` instead of waiting on when the worker
    is stopping or rebalancing.
    """

    def before_sleep(_: RetryCallState) -> None:
        on_retry()

    step = settings.ml_backoff_ms / 1000
    return AsyncRetrying(
        stop=stop_after_attempt(settings.ml_attempts),
        wait=wait_incrementing(start=step, increment=step) + wait_random(0, step / 4),
        retry=retry_if_exception(is_transient),
        sleep=lambda seconds: pause(seconds, is_leaving),
        before_sleep=before_sleep,
        reraise=True,
    )

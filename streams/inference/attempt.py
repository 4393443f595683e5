"""One attempt at an inference, from the queue to its result."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from models.session import Cancellation
from streams.errors import Busy


class Attempt:
    """The state of an attempt, and the future of its result.

    It does not hold the work: timers and the watchdog may keep an attempt for a while after its
    end, and would keep its picture too.
    """

    def __init__(self) -> None:
        self.cancellation = Cancellation()
        self.started: float | None = None
        """Time at which a thread took it up (``time.monotonic``)."""
        self.timed_out = False
        self._result: asyncio.Future[Any] | None = asyncio.get_running_loop().create_future()

    @property
    def result(self) -> asyncio.Future[Any]:
        """The future of the result; before ``end``."""
        assert self._result is not None
        return self._result

    def end(self, result: object, error: Exception | None) -> None:
        """Resolve the future, once, unless its waiter has gone."""
        # An error holds the frames that it passed, and they hold this attempt. If the attempt held
        # the error in turn, both and the picture would stay until the next full collection.
        waiter = self._result
        self.forget()
        if waiter is None or waiter.done():
            return
        if error is None:
            waiter.set_result(result)
        else:
            waiter.set_exception(error)

    def forget(self) -> None:
        """Drop the future, and with it the result or the error that it holds."""
        self._result = None

    def stop_waiting(self, waited_s: float) -> None:
        """Give up the place in the queue. An attempt that has started ends by its own clock."""
        if self.started is None:
            self.cancellation.cancel()
            self.end(None, Busy(f"there was no result in {waited_s * 1000:.0f} ms; try again soon"))

    def abandon(self) -> None:
        """Cancel the future of an attempt that has not started; called when the pool stops."""
        if self.started is None and self._result is not None:
            self._result.cancel()


@dataclass(frozen=True, slots=True)
class Job:
    """An attempt in the queue, with its work."""

    attempt: Attempt
    work: Callable[[Cancellation], object]
    interactive: bool

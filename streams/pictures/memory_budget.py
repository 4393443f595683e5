"""A memory budget for fetched pictures: a bound on their bytes.

An event with an ``image_uri`` is small in the in-flight window, and its picture is not. Its size is
known only once it has arrived, so a fetch reserves the largest picture and returns the rest. A
holder never asks for more and returns its reservation when its picture is scored, so there is no
deadlock. In a worker that is leaving, waiting ends with ``Abandoned``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from streams.errors import Abandoned

#: Interval at which a waiting fetch checks whether the worker is leaving.
CHECK_EVERY_S = 0.1


@dataclass(eq=False, slots=True)
class Reservation:
    """The bytes reserved for one picture."""

    size: int
    _budget: PictureBudget

    def shrink(self, size: int) -> None:
        """Shrink to ``size`` bytes, the size of the picture that has arrived."""
        self._budget.release(max(0, self.size - size))
        self.size = min(self.size, size)


class PictureBudget:
    """At most ``total`` bytes of pictures, of up to ``largest`` bytes each.

    First come, first served. A picture that may be larger than ``total`` is fetched alone.
    """

    def __init__(self, *, total: int, largest: int, is_leaving: Callable[[], bool]) -> None:
        self._free = total
        self._each = min(largest, total)
        self._is_leaving = is_leaving
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def reserved(self) -> AsyncIterator[Reservation]:
        """Wait until the largest picture fits, and reserve it for the block.

        Raises ``Abandoned`` when the worker is leaving before that.
        """
        if self._waiting or self._free < self._each:
            await self._turn()
        else:
            self._free -= self._each
        reservation = Reservation(self._each, self)
        try:
            yield reservation
        finally:
            self.release(reservation.size)

    async def _turn(self) -> None:
        """Wait for a reservation, which is made when this returns."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            while not turn.done():
                await asyncio.wait({turn}, timeout=CHECK_EVERY_S)
                if not turn.done() and self._is_leaving():
                    raise Abandoned
        except (asyncio.CancelledError, Abandoned):
            if turn.done():
                self.release(self._each)
            else:
                self._waiting.remove(turn)
            raise

    def release(self, size: int) -> None:
        """Return ``size`` bytes, and serve the next in line."""
        self._free += size
        while self._waiting and self._free >= self._each:
            self._free -= self._each
            self._waiting.popleft().set_result(None)

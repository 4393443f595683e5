"""Room for the pictures that events only point to: a bound on their bytes in memory.

An event with an ``image_uri`` is small in the in-flight window, and its picture is not. How large
it is shows only when it has arrived, so a fetch takes room for the largest picture there may be,
and gives back what it did not need. Whoever has room never waits for more, and gives it back when
its picture is scored, which no other event holds up: waiting for room ends. In a worker that is
leaving, nobody waits for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from streams.errors import Abandoned

#: How often who waits asks whether the worker is leaving.
ASK_EVERY_S = 0.1


@dataclass(eq=False, slots=True)
class Room:
    """What one picture may take, in bytes."""

    size: int
    _of: PictureRoom

    def shrink(self, size: int) -> None:
        """The picture has arrived: it is ``size`` bytes, and the rest is free again."""
        self._of.give_back(max(0, self.size - size))
        self.size = min(self.size, size)


class PictureRoom:
    """At most ``total`` bytes of pictures, of up to ``largest`` bytes each.

    First come, first served. A picture that may be larger than ``total`` is let in alone.
    """

    def __init__(self, *, total: int, largest: int, is_leaving: Callable[[], bool]) -> None:
        self._free = total
        self._each = min(largest, total)
        self._is_leaving = is_leaving
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[Room]:
        """Wait for room for one picture of the largest size, and hold it for the block.

        Raises ``Abandoned`` when the worker is leaving before there is room.
        """
        if self._waiting or self._free < self._each:
            await self._turn()
        else:
            self._free -= self._each
        room = Room(self._each, self)
        try:
            yield room
        finally:
            self.give_back(room.size)

    async def _turn(self) -> None:
        """Return when there is room, which is taken by then."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            while not turn.done():
                await asyncio.wait({turn}, timeout=ASK_EVERY_S)
                if not turn.done() and self._is_leaving():
                    raise Abandoned
        except (asyncio.CancelledError, Abandoned):
            if turn.done():
                self.give_back(self._each)
            else:
                self._waiting.remove(turn)
            raise

    def give_back(self, size: int) -> None:
        """``size`` bytes are free again; the next in line may have them."""
        self._free += size
        while self._waiting and self._free >= self._each:
            self._free -= self._each
            self._waiting.popleft().set_result(None)

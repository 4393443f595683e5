"""Room for the pictures that events only point to: a bound on their bytes in memory.

An event with an ``image_uri`` is small in the in-flight window, and its picture is not. How large
it is shows only when it has arrived, so a fetch takes room for the largest picture there may be,
and gives back what it did not need. Whoever has room never waits for more, and gives it back when
its picture is scored, which no other event holds up: waiting for room ends.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


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

    def __init__(self, *, total: int, largest: int) -> None:
        self._free = total
        self._each = min(largest, total)
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[Room]:
        """Wait for room for one picture of the largest size, and hold it for the block."""
        if self._waiting or self._free < self._each:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self.give_back(self._each)
                elif turn in self._waiting:
                    self._waiting.remove(turn)
                raise
        else:
            self._free -= self._each
        room = Room(self._each, self)
        try:
            yield room
        finally:
            self.give_back(room.size)

    def give_back(self, size: int) -> None:
        """``size`` bytes are free again; the next in line may have them."""
        self._free += size
        while self._waiting and self._free >= self._each:
            turn = self._waiting.popleft()
            if not turn.done():
                self._free -= self._each
                turn.set_result(None)

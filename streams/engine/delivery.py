"""A fetched record's way to its agent: as it is, without a task for it, and not one a turn.

Faust waits for each delivery and for the end of the flow at once, through four tasks that it makes
and cancels a record. Nearly every delivery ends at its first step, because the queue has room: the
four cost more than all else that Faust does with the record (measured: 0.3 ms of CPU an event,
which passes two topics). So the first step is taken where we stand, and only what has to wait is
waited for as Faust does it.

Faust's stream gives an agent one event in each turn of the event loop. That costs more than what
the agent does with it, and deliveries run ahead. So ``events_of`` also gives it what stands behind
that event, and records are asked for only when the agents have taken those before: else their
windows are told to be full when several polls more stand in the queues (measured: 210 events over,
where a poll has 64).
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncGenerator, Coroutine, Generator, Sequence
from types import coroutine
from typing import Any, TypeVar

import faust
from mode.services import WaitResults
from mode.utils.times import Seconds

T = TypeVar("T")

#: Deliveries, or events taken, without a pause, before others get their turn on the event loop.
MOST_IN_A_ROW = 16
#: Turns of the event loop that agents get to take what was delivered: 64 records at most.
MOST_TURNS = 1000


class AsItIs(faust.Schema):  # type: ignore[misc]  # faust ships no usable hints
    """Keys and values are the bytes of the record.

    Faust's own "raw" serialisers pass them through a dozen calls to the same end.
    """

    def compile(self, app: Any, **_: Any) -> Any:
        """A coroutine function from a message to its event. Nothing is decoded, so none fails."""

        async def decode(message: Any, *, propagate: bool = False) -> Any:  # the name is Faust's
            return app.create_event(message.key, message.value, message.headers, message)

        return decode


async def events_of(stream: Any) -> AsyncGenerator[Any, None]:
    """The events of a stream, none acknowledged: the next, and at once those that stand behind it.

    Of these, as in Faust, an event of an older assignment is skipped, and so is one that comes
    while the flow is stopped: both come again. They pass by processors, which our streams have
    none of, and by Faust's sensors, but for the one that tells it that the partition moves.
    """
    app = stream.app
    queue = stream.channel.queue
    moved_at = app.monitor.stream_inbound_time
    async for first in stream.noack().events():
        yield first
        for _ in range(MOST_IN_A_ROW - 1):
            if queue.empty():
                break
            event = queue.get_nowait()
            message = event.message
            is_current = message.generation_id == app.consumer_generation_id
            if is_current and app.flow_control.is_active():
                app.consumer.unacked.add(message)
                moved_at[message.tp] = time.monotonic()
                yield event


class PromptDelivery:
    """Mixed into Faust's consumer, which waits so for what is mostly done at once."""

    app: Any
    _in_a_row = 0

    async def wait_first(  # the signature is Faust's
        self,
        *coros: Any,
        timeout: Seconds | None = None,  # noqa: ASYNC109
    ) -> WaitResults:
        """As ``Service.wait_first``; the first coroutine is tried before anything is waited for."""
        first, *others = coros
        self._in_a_row += 1
        if timeout is not None or not inspect.iscoroutine(first):
            return await self._wait_for_first(*coros, timeout=timeout)
        if self._is_time_to_pause():
            try:
                await asyncio.sleep(0)
            except BaseException:
                _close(coros)
                raise
        try:
            awaited = first.send(None)
        except StopIteration as done:
            _close(others)
            return WaitResults([first], [done.value], stopped=False)
        except BaseException:
            _close(others)
            raise
        return await self._wait_for_first(_rest_of(first, awaited), *others)

    async def let_agents_take(self) -> None:
        """Wait until the agents have taken what was delivered, within reason."""
        for _ in range(MOST_TURNS):
            if not self._is_behind():
                return
            await asyncio.sleep(0)

    def _is_behind(self) -> bool:
        """Whether agents have yet to take what was delivered."""
        return any(not topic.queue.empty() for topic in self.app.topics)

    def _is_time_to_pause(self) -> bool:
        if self._in_a_row < MOST_IN_A_ROW:
            return False
        self._in_a_row = 0
        return True

    async def _wait_for_first(self, *coros: Any, **options: Any) -> WaitResults:
        results: WaitResults = await super().wait_first(  # type: ignore[misc]  # mixed in
            *coros, **options
        )
        return results


def _close(unused: Sequence[Any]) -> None:
    """End coroutines that nobody will wait for, so that Python does not warn of them."""
    for one in unused:
        if inspect.iscoroutine(one):
            one.close()


async def _rest_of(begun: Coroutine[Any, Any, T], awaited: Any) -> T:
    """What is left of a coroutine that stands at ``awaited``."""
    return await _steps(begun, awaited)


@coroutine
def _steps(begun: Coroutine[Any, Any, T], awaited: Any) -> Generator[Any, Any, T]:
    try:
        while True:
            try:
                sent = yield awaited
            except BaseException as error:
                awaited = begun.throw(error)
            else:
                awaited = begun.send(sent)
    except StopIteration as done:
        result: T = done.value
        return result

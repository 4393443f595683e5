"""Delivery of fetched records to the agents: as bytes, with few tasks, and never far ahead.

Faust waits for each delivery and for the end of the flow at once, through four tasks that it
creates and cancels for every record. Nearly every delivery finishes at its first step, because the
queue has room, so the four tasks cost more than all else that Faust does with a record (measured:
0.3 ms of CPU per event, which passes two topics). ``PromptDelivery`` takes the first step directly
and falls back to Faust's way only when a delivery has to wait.

It also fetches more records only when the agents have taken the previous ones. Otherwise several
polls pile up in the queues before a full window can stop them (measured: 210 events too many, at
64 records per poll).
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping, Sequence
from types import coroutine
from typing import Any, TypeVar

import faust
from mode.services import WaitResults
from mode.utils.times import Seconds

from streams.engine.interface import Message
from streams.messages import Incoming

T = TypeVar("T")

#: Deliveries in a row before other tasks get their turn on the event loop.
DELIVERIES_IN_A_ROW = 16
#: Turns of the event loop in which the agents may take delivered records: a poll has 64 at most.
MAX_TURNS = 1000


def incoming_of(message: Message) -> Incoming:
    """Copy a fetched message into a plain value."""
    headers = message.headers or ()
    if isinstance(headers, Mapping):
        headers = tuple(headers.items())
    return Incoming(
        topic=message.tp.topic,
        partition=message.tp.partition,
        offset=message.offset,
        key=message.key,
        value=message.value,
        headers=tuple(headers),
        timestamp=max(message.timestamp or 0.0, 0.0),
    )


class RawSchema(faust.Schema):  # type: ignore[misc]  # faust ships no usable hints
    """Keys and values are the bytes of the record.

    Faust's "raw" serialisers give the same result through a dozen calls.
    """

    def compile(self, app: faust.App, **_: object) -> Callable[..., Awaitable[object]]:
        """Return a coroutine function from a message to its event. It decodes nothing."""

        async def decode(message: Message, *, propagate: bool = False) -> object:
            return app.create_event(message.key, message.value, message.headers, message)

        return decode


class PromptDelivery:
    """A mix-in for Faust's consumer: a delivery that can finish at once needs no task."""

    app: faust.App
    _in_a_row = 0

    async def wait_first(  # the signature is Faust's
        self,
        *coros: Any,
        timeout: Seconds | None = None,  # noqa: ASYNC109
    ) -> WaitResults:
        """Do as ``Service.wait_first``, but try the first coroutine before waiting for any."""
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

    async def let_agents_catch_up(self) -> None:
        """Wait until the agents have taken what was delivered, for ``MAX_TURNS`` at most."""
        for _ in range(MAX_TURNS):
            if all(topic.queue.empty() for topic in self.app.topics):
                return
            await asyncio.sleep(0)

    def _is_time_to_pause(self) -> bool:
        if self._in_a_row < DELIVERIES_IN_A_ROW:
            return False
        self._in_a_row = 0
        return True

    async def _wait_for_first(self, *coros: Any, **options: Any) -> WaitResults:
        results: WaitResults = await super().wait_first(  # type: ignore[misc]  # mixed in
            *coros, **options
        )
        return results


def _close(unused: Sequence[object]) -> None:
    """Close coroutines that will not be awaited, so that Python does not warn of them."""
    for one in unused:
        if inspect.iscoroutine(one):
            one.close()


async def _rest_of(begun: Coroutine[Any, Any, T], awaited: object) -> T:
    """Finish a coroutine that was started by hand and now waits for ``awaited``."""
    return await _steps(begun, awaited)


@coroutine
def _steps(begun: Coroutine[Any, Any, T], awaited: object) -> Generator[Any, Any, T]:
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

"""The in-flight window: any completion order, acks strictly in offset order.

Faust commits the first consecutive run of acknowledged offsets that it has seen, and can step over
events still being worked on when acks arrive out of order. So an agent here takes events without
automatic acks and hands them to a window, which

- works on many events at once and lets them finish in any order;
- acknowledges an event only after all earlier ones of its partition, and only after its handler
  returned, which means that its outputs were acknowledged;
- is bounded in count and bytes: when full, it asks the consumer to stop fetching its topic's
  partitions until it is half empty;
- on a rebalance or stop lets go of what has not started, finishes what has, and after a deadline
  leaves the rest unacknowledged for the partition's next owner.

Back-pressure goes through ``Consumer.on_buffer_full``/``on_buffer_drop``, which keep what was
already fetched. ``pause_partitions`` looks like the right door and is not: records fetched before
the pause are dropped while the position moves on, and a later commit steps over them. Blocking the
agent is not either: one full topic would then stop the others, as all share one consumer.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import structlog

from streams.errors import Abandoned

log = structlog.get_logger(__name__)

#: A partition within one assignment. Assignments are counted here: the broker's own generation
#: numbers begin anew with a group that was empty, and with a broker that has forgotten it.
Lane = tuple[Any, int]


@dataclass(eq=False, slots=True)
class _Held:
    """One event between its arrival and its ack."""

    event: Any
    lane: Lane
    size: int
    started: bool = False
    done: bool = False


@dataclass(slots=True)
class WindowState:
    """What a window holds now, for health and metrics."""

    held: int = 0
    held_bytes: int = 0
    running: int = 0
    full: bool = False
    busy_since: float = field(default_factory=time.monotonic)
    last_progress: float = field(default_factory=time.monotonic)


class InFlightWindow:
    """Holds the events of one topic from their arrival to their ack.

    ``handle(event)`` does the work and returns when its outputs are safe. It may raise
    ``Abandoned`` (the worker is stopping or rebalancing: the event stays unacknowledged); anything
    else that it raises is a bug and stops the worker, so that no event is skipped.
    """

    def __init__(
        self,
        app: Any,
        topic: str,
        handle: Callable[[Any], Awaitable[None]],
        *,
        concurrency: int,
        max_events: int,
        max_bytes: int,
        drain_timeout_s: float,
    ) -> None:
        self.topic = topic
        self.state = WindowState()
        self._app = app
        self._handle = handle
        self._concurrency = concurrency
        self._not_started: deque[_Held] = deque()
        self._running: dict[_Held, asyncio.Task[None]] = {}
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._drain_timeout_s = drain_timeout_s
        self._lanes: dict[Lane, deque[_Held]] = {}
        self._epoch = 0
        self._draining = False
        self._deadline: asyncio.TimerHandle | None = None

    async def feed(self, events: AsyncIterator[Any]) -> None:
        """Take events in until the stream ends. Never waits for room; see the module's text.

        One that cannot be taken in is a bug, and stops the worker: Faust would start its agent
        again behind it, and later acks would be committed over it.
        """
        async for event in events:
            try:
                self._admit(event)
            except Exception as error:
                log.exception("not taken in; stopping the worker", topic=self.topic)
                await self._app.crash(error)
                raise

    def _admit(self, event: Any) -> None:
        message = event.message
        stale = message.generation_id != self._app.consumer_generation_id
        if stale or self._is_leaving():
            # It comes again, here or elsewhere: reading goes on from the committed offset.
            self._app.consumer.unacked.discard(message)
            return
        held = _Held(event, (message.tp, self._epoch), size=_size_of(message))
        self._lanes.setdefault(held.lane, deque()).append(held)
        if not self.state.held:
            self.state.busy_since = time.monotonic()
        self.state.held += 1
        self.state.held_bytes += held.size
        self._not_started.append(held)
        self._start_more()
        self._adjust_pressure()
        if self.state.full:
            # Said again: the late end of a rebalance has every partition fetched once more.
            self._app.consumer.on_buffer_full(message.tp)

    def _start_more(self) -> None:
        while self._not_started and len(self._running) < self._concurrency:
            held = self._not_started.popleft()
            held.started = True
            name = f"{self.topic}@{held.event.message.offset}"
            self._running[held] = asyncio.create_task(self._work(held), name=name)
        self.state.running = len(self._running)

    async def _work(self, held: _Held) -> None:
        try:
            await self._handle(held.event)
            held.done = True
        except Abandoned as abandoned:
            if self._is_leaving():
                self._close(held.lane)
            else:
                await self._fail(held, abandoned)
        except asyncio.CancelledError:
            if not self._is_leaving():
                await self._fail(held, RuntimeError("the handler was cancelled"))
            raise
        except Exception as error:
            await self._fail(held, error)
        finally:
            del self._running[held]
            self.state.running = len(self._running)
        try:
            self._ack_in_order(held.lane)
        finally:
            self._start_more()

    async def _fail(self, held: _Held, error: Exception) -> None:
        """A bug, or an output that cannot be made safe. The event stays unacknowledged."""
        if held not in self._lanes.get(held.lane, ()):
            # Let go of already, and the next owner's: what it needed may be closed by now.
            log.warning("handler failed after its time", topic=self.topic, reason=repr(error))
            return
        log.error("handler failed; stopping the worker", topic=self.topic, exc_info=error)
        self._close(held.lane)
        await self._app.crash(error)

    def _ack_in_order(self, lane: Lane) -> None:
        queue = self._lanes.get(lane)
        while queue and queue[0].done:
            held = queue.popleft()
            self._let_go(held)
            held.event.ack()
            self.state.last_progress = time.monotonic()
        if queue is not None and not queue:
            del self._lanes[lane]
        self._adjust_pressure()

    def _let_go(self, held: _Held) -> None:
        self.state.held -= 1
        self.state.held_bytes -= held.size

    def _is_leaving(self) -> bool:
        return self._draining or bool(self._app.should_stop)

    def _close(self, lane: Lane) -> None:
        """Forget what a lane holds: nothing of it is acknowledged any more."""
        self._forget(self._lanes.pop(lane, ()))

    def _forget(self, forgotten: Collection[_Held]) -> None:
        for held in forgotten:
            self._let_go(held)
            self._app.consumer.unacked.discard(held.event.message)
        gone = set(forgotten)
        self._not_started = deque(held for held in self._not_started if held not in gone)

    def note_waiting(self) -> None:
        """Something that the held events need has failed and is being tried again: no stall."""
        self.state.last_progress = time.monotonic()

    def begin_drain(self) -> None:
        """A rebalance or stop begins: let go of what has not started, bound the rest in time."""
        self._draining = True
        for lane, queue in list(self._lanes.items()):
            # Everything from the first event that has not started, even what started behind it:
            # an ack that left over a gap could be committed over it.
            started = list(itertools.takewhile(lambda held: held.started, queue))
            self._forget(list(queue)[len(started) :])
            if started:
                self._lanes[lane] = deque(started)
            else:
                del self._lanes[lane]
        if self._lanes and self._deadline is None:
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(self._drain_timeout_s, self._drain_is_over)

    def _drain_is_over(self) -> None:
        self._deadline = None
        for lane, queue in list(self._lanes.items()):
            log.warning(
                "not finished in time; left for the next owner",
                topic=lane[0].topic,
                partition=lane[0].partition,
                events=len(queue),
            )
            self._close(lane)

    def begin_generation(self) -> None:
        """A new assignment, before its first events: what is left of earlier ones is others'."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        for lane in list(self._lanes):
            self._close(lane)
        self._epoch += 1
        self._draining = False
        # The consumer has forgotten what was paused.
        self._set_full(False)

    def _adjust_pressure(self) -> None:
        state = self.state
        if state.held >= self._max_events or state.held_bytes >= self._max_bytes:
            self._set_full(True)
        elif state.held <= self._max_events // 2 and state.held_bytes <= self._max_bytes // 2:
            self._set_full(False)

    def _set_full(self, full: bool) -> None:
        if full == self.state.full:
            return
        self.state.full = full
        consumer = self._app.consumer
        for tp in consumer.assignment():
            if tp.topic == self.topic:
                if full:
                    consumer.on_buffer_full(tp)
                else:
                    consumer.on_buffer_drop(tp)


def _size_of(message: Any) -> int:
    """Bytes that a message keeps in memory: value, key and headers."""
    size = len(message.value or b"") + len(message.key or b"")
    headers = message.headers or ()
    for name, value in headers.items() if isinstance(headers, dict) else headers:
        size += len(name) + len(value or b"")
    return size

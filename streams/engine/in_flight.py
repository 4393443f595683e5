"""The in-flight window: events finish in any order, acks leave strictly in offset order.

Faust commits the first consecutive run of acknowledged offsets that it has seen. When acks arrive
out of order it can step over events that are still being worked on. So an agent takes events
without automatic acks and hands them to a window, which

- works on many events at once and lets them finish in any order;
- acknowledges an event only after all earlier ones of its partition, and only after its handler
  returned, which means that its outputs are acknowledged;
- is bounded in count and bytes: when full, it pauses its topic's partitions until it is half empty;
- on a rebalance or stop drops what has not started, finishes what has, and after a deadline leaves
  the rest unacknowledged for the partition's next owner.

A full window pauses fetching and does not block its agent: all topics share one consumer, so one
full topic would stop the others.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass, field

import structlog

from streams.engine.delivery import incoming_of
from streams.engine.interface import Engine, Event, Partition
from streams.errors import Abandoned
from streams.messages import Incoming, size_of

log = structlog.get_logger(__name__)

#: A partition within one assignment. The window counts assignments itself: the broker's generation
#: numbers start again with a group that was empty, and with a broker that has lost its state.
Lane = tuple[Partition, int]


@dataclass(eq=False, slots=True)
class _Held:
    """One event between its arrival and its ack."""

    event: Event
    incoming: Incoming
    lane: Lane
    size: int
    started: bool = False
    done: bool = False


@dataclass(slots=True)
class WindowState:
    """Counts for health and metrics."""

    held: int = 0
    held_bytes: int = 0
    running: int = 0
    full: bool = False
    busy_since: float = field(default_factory=time.monotonic)
    last_progress: float = field(default_factory=time.monotonic)


class InFlightWindow:
    """Holds the events of one topic from their arrival to their ack.

    ``handle(incoming)`` does the work and returns when its outputs are safe. It may raise
    ``Abandoned`` while the worker is stopping or rebalancing; the event then stays unacknowledged.
    Any other error is a bug: it stops the worker, so that no event is skipped.
    """

    def __init__(
        self,
        engine: Engine,
        topic: str,
        handle: Callable[[Incoming], Awaitable[None]],
        *,
        concurrency: int,
        max_events: int,
        max_bytes: int,
        drain_timeout_s: float,
    ) -> None:
        self.topic = topic
        self.state = WindowState()
        self._engine = engine
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

    async def feed(self, events: AsyncIterator[Event]) -> None:
        """Take events until the stream ends. Never waits for room.

        An error here is a bug and stops the worker: Faust would restart the agent behind the event,
        and later acks would be committed over it.
        """
        async for event in events:
            try:
                self._admit(event)
            except Exception as error:
                log.exception("event not admitted; stopping the worker", topic=self.topic)
                await self._engine.crash(error)
                raise

    def _admit(self, event: Event) -> None:
        message = event.message
        stale = message.generation_id != self._engine.generation
        if stale or self._is_leaving():
            # The message is read again from the committed offset, here or by another worker.
            self._engine.forget(message)
            return
        incoming = incoming_of(message)
        size = size_of(incoming.key, incoming.value, incoming.headers)
        held = _Held(event, incoming, (message.tp, self._epoch), size)
        self._lanes.setdefault(held.lane, deque()).append(held)
        if not self.state.held:
            self.state.busy_since = time.monotonic()
        self.state.held += 1
        self.state.held_bytes += held.size
        self._not_started.append(held)
        self._start_more()
        self._adjust_pressure()
        if self.state.full:
            # Paused again: the late end of an earlier rebalance resumes every partition.
            self._engine.pause(message.tp)

    def _start_more(self) -> None:
        while self._not_started and len(self._running) < self._concurrency:
            held = self._not_started.popleft()
            held.started = True
            name = f"{self.topic}@{held.incoming.offset}"
            self._running[held] = asyncio.create_task(self._work(held), name=name)
        self.state.running = len(self._running)

    async def _work(self, held: _Held) -> None:
        try:
            await self._handle(held.incoming)
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
        """Stop the worker; the event stays unacknowledged."""
        if held not in self._lanes.get(held.lane, ()):
            # The event belongs to its next owner already, and the index or pool may be closed.
            log.warning("abandoned handler failed", topic=self.topic, reason=repr(error))
            return
        log.error("handler failed; stopping the worker", topic=self.topic, exc_info=error)
        self._close(held.lane)
        await self._engine.crash(error)

    def _ack_in_order(self, lane: Lane) -> None:
        queue = self._lanes.get(lane)
        while queue and queue[0].done:
            held = queue.popleft()
            self._release(held)
            held.event.ack()
            self.state.last_progress = time.monotonic()
        if queue is not None and not queue:
            del self._lanes[lane]
        self._adjust_pressure()

    def _release(self, held: _Held) -> None:
        self.state.held -= 1
        self.state.held_bytes -= held.size

    def _is_leaving(self) -> bool:
        return self._draining or self._engine.stopping

    def _close(self, lane: Lane) -> None:
        """Drop a lane's events; none of them is acknowledged any more."""
        self._drop(self._lanes.pop(lane, ()))

    def _drop(self, dropped: Collection[_Held]) -> None:
        for held in dropped:
            self._release(held)
            self._engine.forget(held.event.message)
        gone = set(dropped)
        self._not_started = deque(held for held in self._not_started if held not in gone)

    def note_waiting(self) -> None:
        """Count a retry as progress: a dependency of the held events failed and is tried again."""
        self.state.last_progress = time.monotonic()

    def begin_drain(self) -> None:
        """Begin a drain: drop events that have not started, and give the rest a deadline."""
        self._draining = True
        for lane, queue in list(self._lanes.items()):
            # Drop everything from the first event that has not started, also events that started
            # behind it: an ack over a gap could be committed over it.
            started = list(itertools.takewhile(lambda held: held.started, queue))
            self._drop(list(queue)[len(started) :])
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
                "events not finished in time; left for the next owner",
                topic=lane[0].topic,
                partition=lane[0].partition,
                events=len(queue),
            )
            self._close(lane)

    def begin_generation(self) -> None:
        """Drop what is left of earlier assignments, and admit events of the new one."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        for lane in list(self._lanes):
            self._close(lane)
        self._epoch += 1
        self._draining = False
        # The consumer has lost its pauses with the old assignment.
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
        for partition in self._engine.partitions(self.topic):
            if full:
                self._engine.pause(partition)
            else:
                self._engine.resume(partition)

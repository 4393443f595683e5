"""Prompt delivery: as Faust's own wait, but nothing is made to wait for what is done at once."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest
from mode.services import Service

from streams.engine.delivery import (
    DELIVERIES_IN_A_ROW,
    PromptDelivery,
    RawSchema,
    incoming_of,
)
from streams.messages import Incoming
from tests.fakes import FakeMessage, FakePartition


class Deliverer(PromptDelivery, Service):  # type: ignore[misc]  # mode ships no usable hints
    """A service that delivers."""


@pytest.fixture
async def deliverer() -> AsyncIterator[Deliverer]:
    """A started service."""
    async with Deliverer() as running:
        yield running


async def at_once(value: str) -> str:
    """A delivery into a queue that has room."""
    return value


async def after(event: asyncio.Event, value: str, log: list[str]) -> str:
    """A delivery that waits for room, twice."""
    try:
        await asyncio.sleep(0)
        await event.wait()
    except asyncio.CancelledError:
        log.append("cancelled")
        raise
    log.append(value)
    return value


async def test_what_is_done_at_once_costs_no_task(
    deliverer: Deliverer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The result is there, and what else would have been waited for is closed, not forgotten."""
    event = asyncio.Event()
    never = event.wait()

    def no_task(*_: object, **__: object) -> None:
        pytest.fail("a task was made")

    monkeypatch.setattr(asyncio, "ensure_future", no_task)
    results = await deliverer.wait_first(at_once("delivered"), never)
    assert (results.results, results.stopped) == (["delivered"], False)
    with pytest.raises(RuntimeError, match="cannot reuse"):
        never.send(None)


async def test_what_has_to_wait_is_waited_for(deliverer: Deliverer) -> None:
    """Its first step is not taken twice, and its result comes back."""
    room, log = asyncio.Event(), list[str]()
    waiting = asyncio.create_task(
        deliverer.wait_first(after(room, "delivered", log), asyncio.Event().wait())
    )
    await asyncio.sleep(0.01)
    assert not waiting.done()
    room.set()
    results = await waiting
    assert (results.results, log) == (["delivered"], ["delivered"])


async def test_the_end_of_the_flow_cancels_a_delivery_that_waits(deliverer: Deliverer) -> None:
    """As with Faust's own: the record comes again after the seek."""
    suspended, log = asyncio.Event(), list[str]()
    waiting = asyncio.create_task(
        deliverer.wait_first(after(asyncio.Event(), "never", log), suspended.wait())
    )
    await asyncio.sleep(0.01)
    suspended.set()
    await waiting
    await asyncio.sleep(0)
    assert log == ["cancelled"]


async def test_a_stop_ends_the_wait(deliverer: Deliverer) -> None:
    """The worker does not wait for room in the queue of an agent that has ended."""
    log: list[str] = []
    waiting = asyncio.create_task(deliverer.wait_first(after(asyncio.Event(), "never", log)))
    await asyncio.sleep(0.01)
    await deliverer.stop()
    assert (await waiting).stopped


@pytest.mark.parametrize("waits", [True, False])
async def test_an_error_is_raised(deliverer: Deliverer, waits: bool) -> None:
    """At the first step or later."""

    async def failing() -> None:
        if waits:
            await asyncio.sleep(0.001)
        raise KeyError("partition")

    with pytest.raises(KeyError, match="partition"):
        await deliverer.wait_first(failing())


async def test_an_error_at_the_first_step_closes_what_else_would_have_been_waited_for(
    deliverer: Deliverer,
) -> None:
    """Or Python warns of a coroutine that was never awaited, once for each record."""

    async def failing() -> None:
        raise KeyError("partition")

    never = asyncio.Event().wait()
    with pytest.raises(KeyError, match="partition"):
        await deliverer.wait_first(failing(), never)
    assert inspect.getcoroutinestate(never) == inspect.CORO_CLOSED


async def test_others_get_their_turn(deliverer: Deliverer) -> None:
    """A long run of deliveries does not keep the event loop to itself."""
    turns: list[int] = []
    asyncio.get_running_loop().call_soon(turns.append, 1)
    for _ in range(DELIVERIES_IN_A_ROW):
        await deliverer.wait_first(at_once("delivered"))
    assert turns


async def test_a_record_becomes_an_event_as_it_is() -> None:
    """Bytes that are no text, and a value that is not there, are nobody's error here."""
    app = SimpleNamespace(create_event=lambda *parts: parts)
    message = SimpleNamespace(key=b"\xff", value=None, headers=[("h", b"\xfe")])
    decode = RawSchema().compile(app, on_key_decode_error=None, default_propagate=True)
    assert await decode(message, propagate=True) == (b"\xff", None, [("h", b"\xfe")], message)


def test_a_message_is_copied_as_it_is() -> None:
    """Faust may give headers as a list, a mapping or not at all, and no timestamp."""
    place = FakePartition("events", 1)
    message = FakeMessage(place, 7, key=None, value=None, headers=[("a", b"1"), ("a", b"2")])
    assert incoming_of(message) == Incoming(
        "events", 1, 7, None, None, (("a", b"1"), ("a", b"2")), 0.0
    )
    assert incoming_of(FakeMessage(place, 8, headers={"a": b"1"})).headers == (("a", b"1"),)
    assert incoming_of(FakeMessage(place, 9, headers=None)).headers == ()


@pytest.mark.parametrize(
    ("sent", "told"), [(None, 0.0), (-0.001, 0.0), (-9e15, 0.0), (0.0, 0.0), (1.7e9, 1.7e9)]
)
def test_a_message_without_a_time_has_waited_for_no_time(sent: float | None, told: float) -> None:
    """Kafka's "no timestamp", -1 ms, would be half a century in the queue."""
    message = FakeMessage(FakePartition("events", 0), 0, timestamp=sent)  # type: ignore[arg-type]
    assert incoming_of(message).timestamp == told

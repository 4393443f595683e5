"""Prompt delivery: like Faust's ``wait_first``, but without tasks where nothing has to wait."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest
from mode.services import Service

from streams.engine.delivery import DELIVERIES_IN_A_ROW, PromptDelivery, RawSchema, incoming_of
from streams.messages import Incoming
from tests.fakes import FakeMessage, FakePartition


class Deliverer(PromptDelivery, Service):  # type: ignore[misc]  # mode ships no usable hints
    """A service with prompt delivery."""


@pytest.fixture
async def deliverer() -> AsyncIterator[Deliverer]:
    """A started ``Deliverer``."""
    async with Deliverer() as running:
        yield running


async def at_once(value: str) -> str:
    """Deliver into a queue that has room."""
    return value


async def after(event: asyncio.Event, value: str, log: list[str]) -> str:
    """Deliver after two waits; log the value, or the cancellation."""
    try:
        await asyncio.sleep(0)
        await event.wait()
    except asyncio.CancelledError:
        log.append("cancelled")
        raise
    log.append(value)
    return value


async def test_a_delivery_that_finishes_at_once_creates_no_task(
    deliverer: Deliverer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other coroutines are closed."""
    event = asyncio.Event()
    never = event.wait()

    def no_task(*_: object, **__: object) -> None:
        pytest.fail("a task was created")

    monkeypatch.setattr(asyncio, "ensure_future", no_task)
    results = await deliverer.wait_first(at_once("delivered"), never)
    assert (results.results, results.stopped) == (["delivered"], False)
    with pytest.raises(RuntimeError, match="cannot reuse"):
        never.send(None)


async def test_a_delivery_that_has_to_wait_is_awaited(deliverer: Deliverer) -> None:
    """It continues after its first step and is not started again."""
    room, log = asyncio.Event(), list[str]()
    waiting = asyncio.create_task(
        deliverer.wait_first(after(room, "delivered", log), asyncio.Event().wait())
    )
    await asyncio.sleep(0.01)
    assert not waiting.done()
    room.set()
    results = await waiting
    assert (results.results, log) == (["delivered"], ["delivered"])


async def test_the_end_of_the_flow_cancels_a_waiting_delivery(deliverer: Deliverer) -> None:
    """As in Faust: the record is fetched again after the seek."""
    suspended, log = asyncio.Event(), list[str]()
    waiting = asyncio.create_task(
        deliverer.wait_first(after(asyncio.Event(), "never", log), suspended.wait())
    )
    await asyncio.sleep(0.01)
    suspended.set()
    await waiting
    await asyncio.sleep(0)
    assert log == ["cancelled"]


async def test_a_stop_ends_a_waiting_delivery(deliverer: Deliverer) -> None:
    """The agent has ended, so its queue will never have room."""
    log: list[str] = []
    waiting = asyncio.create_task(deliverer.wait_first(after(asyncio.Event(), "never", log)))
    await asyncio.sleep(0.01)
    await deliverer.stop()
    assert (await waiting).stopped


@pytest.mark.parametrize("waits", [True, False])
async def test_an_error_of_a_delivery_is_raised(deliverer: Deliverer, waits: bool) -> None:
    """It may occur at the first step or after a wait."""

    async def failing() -> None:
        if waits:
            await asyncio.sleep(0.001)
        raise KeyError("partition")

    with pytest.raises(KeyError, match="partition"):
        await deliverer.wait_first(failing())


async def test_an_error_at_the_first_step_closes_the_other_coroutines(
    deliverer: Deliverer,
) -> None:
    """Otherwise Python warns of a coroutine that was never awaited, once for each record."""

    async def failing() -> None:
        raise KeyError("partition")

    never = asyncio.Event().wait()
    with pytest.raises(KeyError, match="partition"):
        await deliverer.wait_first(failing(), never)
    assert inspect.getcoroutinestate(never) == inspect.CORO_CLOSED


async def test_a_long_run_of_deliveries_lets_other_tasks_run(deliverer: Deliverer) -> None:
    """A delivery without a task gives the event loop no chance to switch."""
    turns: list[int] = []
    asyncio.get_running_loop().call_soon(turns.append, 1)
    for _ in range(DELIVERIES_IN_A_ROW):
        await deliverer.wait_first(at_once("delivered"))
    assert turns


async def test_the_raw_schema_leaves_key_value_and_headers_unchanged() -> None:
    """Bytes that are not text and a missing value raise no error here."""
    app = SimpleNamespace(create_event=lambda *parts: parts)
    message = SimpleNamespace(key=b"\xff", value=None, headers=[("h", b"\xfe")])
    decode = RawSchema().compile(app, on_key_decode_error=None, default_propagate=True)
    assert await decode(message, propagate=True) == (b"\xff", None, [("h", b"\xfe")], message)


def test_headers_are_copied_from_every_form_that_faust_uses() -> None:
    """Faust passes headers as a list, a mapping or ``None``."""
    place = FakePartition("events", 1)
    message = FakeMessage(place, 7, key=None, value=None, headers=[("a", b"1"), ("a", b"2")])
    assert incoming_of(message) == Incoming(
        "events", 1, 7, None, None, (("a", b"1"), ("a", b"2")), 0.0
    )
    assert incoming_of(FakeMessage(place, 8, headers={"a": b"1"})).headers == (("a", b"1"),)
    assert incoming_of(FakeMessage(place, 9, headers=None)).headers == ()


@pytest.mark.parametrize(
    ("sent", "expected"), [(None, 0.0), (-0.001, 0.0), (-9e15, 0.0), (0.0, 0.0), (1.7e9, 1.7e9)]
)
def test_a_missing_timestamp_becomes_zero(sent: float | None, expected: float) -> None:
    """Kafka's "no timestamp" is -1 ms, which would count as half a century in the queue."""
    message = FakeMessage(FakePartition("events", 0), 0, timestamp=sent)  # type: ignore[arg-type]
    assert incoming_of(message).timestamp == expected

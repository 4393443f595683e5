"""Behaviour of Faust's streams and consumer on which at-least-once delivery relies.

When a test fails after an upgrade, read the module named in its docstring before changing the test.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import inspect
from typing import Any

import faust
import faust.streams
import pytest
from faust.types import TP
from faust.types.tuples import ConsumerMessage

import streams.app
import streams.engine.committing
import streams.engine.worker_app
from streams.app import FacestreamApp, create_app
from streams.config.settings import load_settings
from streams.engine.faust_engine import FaustEngine
from streams.engine.worker_app import require_compiled_streams
from streams.errors import StartupError

TOPIC = "image-submitted"
FIRST, SECOND = TP(TOPIC, 0), TP(TOPIC, 1)
GENERATION = 2


@pytest.fixture
async def app() -> FacestreamApp:
    """The app with its real consumer, neither of them started."""
    created = create_app(load_settings())
    created.consumer_generation_id = GENERATION
    created.flow_control.resume()
    created.topics._acking_topics.add(TOPIC)
    created.consumer._set_active_tps({FIRST, SECOND})
    return created


def message(offset: int, generation: int = GENERATION) -> Any:
    """Return a message as the consumer passes it to one agent."""
    delivered = ConsumerMessage(
        TOPIC, 0, offset, 0.0, 0, [], b"key", b"value", None, tp=FIRST, generation_id=generation
    )
    delivered.incref()
    return delivered


async def delivered(app: FacestreamApp, *messages: Any) -> list[Any]:
    """Return the events that an agent's stream yields for these messages."""
    stream = app.topic(TOPIC).stream()
    for one in messages:
        stream.channel.queue.put_nowait(await stream.channel.decode(one))
    events: list[Any] = []
    try:
        async with asyncio.timeout(10):
            async for event in stream.noack().events():
                events.append(event)
                if event.message is messages[-1]:
                    break
    finally:
        await stream.stop()
    return events


async def fetched(app: FacestreamApp, records: dict[TP, list[int]]) -> list[int]:
    """Return the records that the consumer delivers when these have been fetched."""
    consumer = app.consumer

    async def next_records(_: float) -> Any:
        return records, consumer._get_active_partitions()

    consumer._wait_next_records = next_records
    consumer._to_message = lambda tp, record: record
    consumer.highwater = lambda tp: 100
    return [record async for _, record in consumer.getmany(1.0)]


def test_the_compiled_stream_iterator_is_loaded() -> None:
    """worker_app.py: the Python iterator acknowledges events that it skips."""
    iterator = faust.streams._CStreamIterator
    assert iterator is not None
    assert iterator.__module__ == "faust._cython.streams"
    require_compiled_streams()


async def test_a_stream_acknowledges_nothing_by_itself(app: FacestreamApp) -> None:
    """in_flight.py: events come without automatic acks; an older generation's are skipped."""
    older = [message(offset, GENERATION - 1) for offset in (0, 2)]
    events = await delivered(app, older[0], message(1), older[1], message(3), message(4))
    assert [event.message.offset for event in events] == [1, 3, 4]
    assert app.consumer._acked == {}
    # At a rebalance, Faust waits for these.
    assert {one.offset for one in app.consumer.unacked} == {1, 3, 4}


async def test_the_python_stream_iterator_acknowledges_skipped_events(
    app: FacestreamApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """worker_app.py: once this fails, ``require_compiled_streams`` can be removed."""
    monkeypatch.setattr(faust.streams, "_CStreamIterator", None)
    await delivered(app, message(0, GENERATION - 1), message(1))
    assert app.consumer._acked == {FIRST: [0]}, "this event belongs to another worker"


async def test_without_the_compiled_iterator_the_worker_refuses_to_start(
    app: FacestreamApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stops before it fetches anything."""
    monkeypatch.setattr(faust.streams, "_CStreamIterator", None)
    errors: list[Exception] = []

    def die(error: Exception) -> None:
        errors.append(error)
        raise SystemExit

    monkeypatch.setattr(streams.engine.worker_app, "die", die)
    with pytest.raises(SystemExit):
        await app.on_first_start()
    assert isinstance(errors[0], StartupError)
    assert "NO_CYTHON" in str(errors[0])


async def test_an_ack_reaches_the_consumer_and_a_forgotten_message_is_not_awaited(
    app: FacestreamApp,
) -> None:
    """faust_engine.py: ``forget`` uses ``consumer.unacked.discard(message)``."""
    first, second = await delivered(app, message(1), message(2))
    unacked = app.consumer.unacked
    assert set(unacked) == {first.message, second.message}
    first.ack()
    assert app.consumer._acked == {FIRST: [1]}
    unacked.discard(second.message)
    assert not app.consumer._unacked_messages, "``wait_empty()`` waits for these"
    assert app.consumer._acked == {FIRST: [1]}


async def test_a_pause_stops_fetching_and_keeps_fetched_records(app: FacestreamApp) -> None:
    """faust_engine.py: a later commit would skip a dropped record."""
    consumer, engine = app.consumer, FaustEngine(app)
    engine.pause(FIRST)
    assert consumer._get_active_partitions() == {SECOND}, "only these are fetched"
    assert await fetched(app, {FIRST: [10, 11], SECOND: [20]}) == [10, 20, 11]
    engine.resume(FIRST)
    assert consumer._get_active_partitions() == {FIRST, SECOND}


async def test_pause_partitions_drops_fetched_records(app: FacestreamApp) -> None:
    """faust_engine.py: this is why ``pause`` does not use ``pause_partitions``."""
    app.consumer.pause_partitions({FIRST})
    assert await fetched(app, {FIRST: [10, 11], SECOND: [20]}) == [20]


async def test_a_delivery_is_a_coroutine_that_finishes_at_its_first_step(
    app: FacestreamApp,
) -> None:
    """delivery.py: otherwise every record takes the slow path with four tasks."""
    channel = app.topic(TOPIC).stream().channel
    app.topics.add(channel)
    await app.topics.on_partitions_assigned({FIRST})
    delivery = app.topics.on_message(message(1))
    assert inspect.iscoroutine(delivery)
    with pytest.raises(StopIteration):
        delivery.send(None)
    assert channel.queue.get_nowait().message.offset == 1


async def test_the_next_poll_waits_until_the_agents_have_taken_the_previous_records(
    app: FacestreamApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """delivery.py: otherwise records pile up before a full window can pause fetching."""
    polls: list[float] = []

    async def getmany(**options: Any) -> dict[TP, list[int]]:
        polls.append(options["timeout"])
        return {FIRST: [2]}

    monkeypatch.setattr(app.consumer, "_getmany", getmany)
    channel = app.topic(TOPIC).stream().channel
    app.topics.add(channel)
    channel.queue.put_nowait(await channel.decode(message(1)))
    poll = asyncio.create_task(app.consumer._wait_next_records(1.0))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not polls
    channel.queue.get_nowait()
    async with asyncio.timeout(10):
        records, _ = await poll
    assert (records, polls) == ({FIRST: [2]}, [1.0])


async def test_a_stuck_agent_does_not_stop_polls_for_other_topics(
    app: FacestreamApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """delivery.py: all topics share the consumer."""

    async def getmany(**_: Any) -> dict[TP, list[int]]:
        return {SECOND: [7]}

    monkeypatch.setattr(app.consumer, "_getmany", getmany)
    channel = app.topic(TOPIC).stream().channel
    app.topics.add(channel)
    channel.queue.put_nowait(await channel.decode(message(1)))
    async with asyncio.timeout(10):
        records, _ = await app.consumer._wait_next_records(1.0)
    assert records == {SECOND: [7]}


async def test_a_poll_resumes_when_one_of_several_full_windows_has_room(
    app: FacestreamApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """committing.py: Faust's consumer would sleep for a second."""
    monkeypatch.setattr(streams.engine.committing, "ROOM_CHECK_S", 60.0)

    async def getmany(**_: Any) -> dict[TP, list[int]]:
        return {FIRST: [2]}

    monkeypatch.setattr(app.consumer, "_getmany", getmany)
    for tp in (FIRST, SECOND):
        app.consumer.on_buffer_full(tp)
    poll = asyncio.create_task(app.consumer._wait_next_records(1.0))
    await asyncio.sleep(0.01)
    assert not poll.done()
    app.consumer.on_buffer_drop(FIRST)
    async with asyncio.timeout(10):
        records, active = await poll
    assert (records, active) == ({FIRST: [2]}, {FIRST})


def test_the_installed_faust_is_a_tested_version() -> None:
    """pyproject.toml: older versions lose events in more ways."""
    assert tuple(map(int, importlib.metadata.version("faust-streaming").split("."))) >= (0, 15, 3)


async def test_lag_is_the_sum_of_end_offsets_minus_positions(
    app: FacestreamApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """faust_engine.py: only partitions whose position and end are known count."""
    other = TP("scored-face", 0)
    ends = {FIRST: 10, SECOND: None, other: 99}
    positions = {FIRST: 4, SECOND: 10, other: 0}

    async def highwaters(*partitions: TP) -> dict[TP, int | None]:
        return {tp: ends[tp] for tp in partitions}

    async def position(tp: TP) -> int | None:
        return positions[tp]

    monkeypatch.setattr(app.consumer, "assignment", lambda: set(ends))
    monkeypatch.setattr(app.consumer, "highwaters", highwaters)
    monkeypatch.setattr(app.consumer, "position", position)
    engine = FaustEngine(app)
    assert await engine.lag(TOPIC) == 6
    positions[FIRST] = 11
    assert await engine.lag(TOPIC) == 0, "the high watermark is older than the position"
    positions[FIRST] = 0
    app.rebalancing = True
    assert await engine.lag(TOPIC) == 0, "the partitions may belong to another worker now"

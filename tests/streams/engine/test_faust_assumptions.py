"""What we rely on inside Faust, and would lose events without, should an upgrade change it.

A test that goes red here is not to be mended here: read the module named in its docstring first.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import faust
import faust.streams
import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED
from aiokafka.errors import MessageSizeTooLargeError
from faust.exceptions import NotReady, ProducerSendError
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, ConsumerRebalanceListener
from faust.types import TP
from faust.types.tuples import ConsumerMessage

import streams.app
import streams.engine.committing
import streams.engine.worker_app
from streams.app import FacestreamApp, create_app
from streams.config.settings import load_settings
from streams.engine.faust_engine import FaustEngine
from streams.engine.publishing import Publisher, UnpublishableMessage
from streams.engine.worker_app import require_compiled_streams
from streams.errors import StartupError
from streams.kafka.topic_reader import TopicReader
from streams.local.embedded_broker import EmbeddedBroker, free_port
from streams.messages import Outgoing

TOPIC = "image-submitted"
FIRST, SECOND = TP(TOPIC, 0), TP(TOPIC, 1)
GENERATION = 2


@pytest.fixture
async def app() -> FacestreamApp:
    """Our app with Faust's real consumer, neither of them started."""
    created = create_app(load_settings())
    created.consumer_generation_id = GENERATION
    created.flow_control.resume()
    created.topics._acking_topics.add(TOPIC)
    created.consumer._set_active_tps({FIRST, SECOND})
    return created


def message(offset: int, generation: int = GENERATION) -> Any:
    """As the consumer hands it on to one agent."""
    delivered = ConsumerMessage(
        TOPIC, 0, offset, 0.0, 0, [], b"key", b"value", None, tp=FIRST, generation_id=generation
    )
    delivered.incref()
    return delivered


async def delivered(app: FacestreamApp, *messages: Any) -> list[Any]:
    """The events that an agent's stream yields for these messages, as our agents read it."""
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
    """What the consumer hands on when these records have been fetched already."""
    consumer = app.consumer

    async def next_records(_: float) -> Any:
        return records, consumer._get_active_partitions()

    consumer._wait_next_records = next_records
    consumer._to_message = lambda tp, record: record
    consumer.highwater = lambda tp: 100
    return [record async for _, record in consumer.getmany(1.0)]


def test_the_compiled_stream_iterator_is_loaded() -> None:
    """worker_app.py: the one in Python acknowledges what it skips."""
    iterator = faust.streams._CStreamIterator
    assert iterator is not None
    assert iterator.__module__ == "faust._cython.streams"
    require_compiled_streams()


async def test_a_stream_acknowledges_nothing_by_itself(app: FacestreamApp) -> None:
    """in_flight.py: events without automatic acks, those of an older generation skipped."""
    older = [message(offset, GENERATION - 1) for offset in (0, 2)]
    events = await delivered(app, older[0], message(1), older[1], message(3), message(4))
    assert [event.message.offset for event in events] == [1, 3, 4]
    assert app.consumer._acked == {}
    # Who waits for what is under way when a rebalance begins knows of all.
    assert {one.offset for one in app.consumer.unacked} == {1, 3, 4}


async def test_the_stream_iterator_in_python_is_the_reason_to_refuse_it(
    app: FacestreamApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """worker_app.py: once this fails, require_compiled_streams may go."""
    monkeypatch.setattr(faust.streams, "_CStreamIterator", None)
    await delivered(app, message(0, GENERATION - 1), message(1))
    assert app.consumer._acked == {FIRST: [0]}, "an event that another worker has now"


async def test_without_the_compiled_iterator_the_worker_refuses_to_start(
    app: FacestreamApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it has taken anything from the broker."""
    monkeypatch.setattr(faust.streams, "_CStreamIterator", None)
    ends: list[Exception] = []

    def die(error: Exception) -> None:
        ends.append(error)
        raise SystemExit

    monkeypatch.setattr(streams.engine.worker_app, "die", die)
    with pytest.raises(SystemExit):
        await app.on_first_start()
    assert isinstance(ends[0], StartupError)
    assert "NO_CYTHON" in str(ends[0])


async def test_an_ack_reaches_the_consumer_and_what_is_let_go_of_is_not_waited_for(
    app: FacestreamApp,
) -> None:
    """faust_engine.py: ``event.ack()``, ``consumer.unacked.discard(message)``."""
    first, second = await delivered(app, message(1), message(2))
    unacked = app.consumer.unacked
    assert set(unacked) == {first.message, second.message}
    first.ack()
    assert app.consumer._acked == {FIRST: [1]}
    unacked.discard(second.message)
    assert not app.consumer._unacked_messages, "wait_empty() waits for these"
    assert app.consumer._acked == {FIRST: [1]}


async def test_a_full_buffer_stops_fetching_and_keeps_what_was_fetched(app: FacestreamApp) -> None:
    """faust_engine.py: a dropped event would be stepped over by a later commit."""
    consumer = app.consumer
    consumer.on_buffer_full(FIRST)
    assert consumer._get_active_partitions() == {SECOND}, "only these are fetched"
    assert await fetched(app, {FIRST: [10, 11], SECOND: [20]}) == [10, 20, 11]
    consumer.on_buffer_drop(FIRST)
    assert consumer._get_active_partitions() == {FIRST, SECOND}


async def test_pausing_partitions_drops_what_was_fetched(app: FacestreamApp) -> None:
    """faust_engine.py: the reason not to pause by ``pause_partitions``."""
    app.consumer.pause_partitions({FIRST})
    assert await fetched(app, {FIRST: [10, 11], SECOND: [20]}) == [20]


async def test_a_delivery_is_a_coroutine_that_ends_at_its_first_step(app: FacestreamApp) -> None:
    """delivery.py: otherwise every record takes the slow path, four tasks each."""
    channel = app.topic(TOPIC).stream().channel
    app.topics.add(channel)
    await app.topics.on_partitions_assigned({FIRST})
    delivery = app.topics.on_message(message(1))
    assert inspect.iscoroutine(delivery)
    with pytest.raises(StopIteration):
        delivery.send(None)
    assert channel.queue.get_nowait().message.offset == 1


async def test_records_are_asked_for_when_the_agents_have_taken_those_before(
    app: FacestreamApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """delivery.py: windows would be told to be full too late."""
    polls: list[float] = []

    async def getmany(**asked: Any) -> dict[TP, list[int]]:
        polls.append(asked["timeout"])
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


async def test_an_agent_that_takes_nothing_does_not_keep_the_others_from_their_records(
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


async def test_room_in_a_window_is_noticed_where_all_were_full(
    app: FacestreamApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """committing.py: Faust would sleep for a second."""
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


class Listened(FacestreamApp):
    """Our app; writes down which of the methods that we override Faust calls."""

    calls: list[str]

    def on_rebalance_start(self) -> None:
        self.calls.append("rebalance starts")
        super().on_rebalance_start()

    def _on_rebalance_when_stopped(self) -> None:
        self.calls.append("rebalance when stopped")
        super()._on_rebalance_when_stopped()


@pytest.fixture
async def listened(monkeypatch: pytest.MonkeyPatch) -> Listened:
    monkeypatch.setattr(streams.app, "FacestreamApp", Listened)
    created = create_app(load_settings())
    assert isinstance(created, Listened)
    created.calls = []
    return created


async def test_a_rebalance_calls_us_before_it_waits(listened: Listened) -> None:
    """worker_app.py: the windows let go before ``wait_empty()``."""

    class Thread:
        app = listened

        async def on_partitions_revoked(self, revoked: set[TP]) -> None:
            listened.calls.append("partitions are revoked")

    await ConsumerRebalanceListener(Thread()).on_partitions_revoked({FIRST})
    assert listened.calls == ["rebalance starts", "partitions are revoked"]
    assert listened.rebalancing


@pytest.mark.parametrize("handler", ["_on_partitions_revoked", "_on_partitions_assigned"])
async def test_a_rebalance_while_stopping_leaves_the_consumer_open(
    listened: Listened, handler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """worker_app.py: Faust's own method closes it, and the last commit waits for ever."""
    assert callable(faust.App._on_rebalance_when_stopped), "the method that we override"
    monkeypatch.setattr(listened.consumer, "close", lambda: listened.calls.append("closed"))
    listened._stopped.set()
    await getattr(listened, handler)({FIRST})
    assert listened.calls == ["rebalance when stopped"]
    faust.App._on_rebalance_when_stopped(listened)
    assert listened.calls[-1] == "closed", "once this fails, the override may go"


async def test_a_rebalance_and_a_stop_wait_for_what_is_worked_on(app: FacestreamApp) -> None:
    """worker_app.py: we set it, and Faust's own default is the same."""
    assert app.conf.stream_wait_empty is True
    assert faust.App("default").conf.stream_wait_empty is True


async def test_acknowledged_means_by_all_replicas(app: FacestreamApp) -> None:
    """faust_engine.py: acks=all, in Faust's spelling; at-least-once, no transactions."""
    assert app.conf.producer_acks == -1
    assert not app.in_transaction
    assert not app.conf.stream_publish_on_commit


def test_we_run_on_a_faust_that_was_measured() -> None:
    """pyproject.toml: older ones lose events in more ways."""
    assert tuple(map(int, importlib.metadata.version("faust-streaming").split("."))) >= (0, 15, 3)


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(free_port()) as running:
        yield running


@pytest.fixture
async def producing(broker: EmbeddedBroker) -> AsyncIterator[FacestreamApp]:
    """Our app with its producer started on a real broker; messages may have 64 KiB."""
    created = create_app(
        load_settings(kafka_bootstrap_servers=broker.address, kafka_max_message_bytes=64 * 1024)
    )
    await created.maybe_start_producer()
    yield created
    await created.producer.stop()


async def test_a_fetch_waits_as_long_as_the_setting_says(broker: EmbeddedBroker) -> None:
    """committing.py: Faust's own 1.5 s would make an event alone wait for as long.

    And it leaves out what a transaction took back.
    """
    created = create_app(
        load_settings(kafka_bootstrap_servers=broker.address, kafka_fetch_max_wait_ms=7)
    )
    thread = created.consumer._new_consumer_thread()
    consumer = thread._create_worker_consumer(created.transport)
    await consumer.start()
    try:
        assert consumer._fetcher._fetch_max_wait_ms == 7
        assert consumer._fetcher._fetch_max_bytes == 2**20
        assert consumer._fetcher._isolation_level == READ_COMMITTED
    finally:
        await consumer.stop()


async def test_a_poll_that_waits_can_be_made_to_look_again(broker: EmbeddedBroker) -> None:
    """committing.py: what was fetched for a window that is no longer full is here."""
    created = create_app(load_settings(kafka_bootstrap_servers=broker.address))
    thread = created.consumer._new_consumer_thread()
    consumer = thread._consumer = thread._create_worker_consumer(created.transport)
    await consumer.start()
    await created.maybe_start_producer()
    polls: list[asyncio.Task[Any]] = []
    try:
        kept = await (await created.producer.send("kept", None, b"value", None, None, []))
        here, elsewhere = TopicPartition("kept", kept.partition), TopicPartition("other", 0)
        consumer.assign([here])
        fetcher = consumer._fetcher
        async with asyncio.timeout(20):
            while here not in fetcher._records:
                await asyncio.sleep(0.01)
        active = {elsewhere}
        polls.append(asyncio.create_task(fetcher.fetched_records(active, timeout=60)))
        await asyncio.sleep(0.05)
        active.add(here)
        await asyncio.sleep(0.05)
        assert not polls[0].done(), "once this fails, look_again() may go"
        thread.thread_loop = asyncio.get_running_loop()  # in which its consumer runs here
        await asyncio.to_thread(thread.look_again)
        async with asyncio.timeout(10):
            assert list(await polls[0]) == [here]
    finally:
        for poll in polls:
            poll.cancel()
        await consumer.stop()
        await created.producer.stop()


async def test_a_commit_after_all_partitions_were_taken_away_is_no_crash(
    broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """committing.py: Faust's own stops the worker over it."""
    created = create_app(load_settings(kafka_bootstrap_servers=broker.address))
    thread = created.consumer._new_consumer_thread()
    thread._consumer = thread._create_worker_consumer(created.transport)
    thread._consumer.assign([])
    crashes: list[BaseException] = []

    async def crash(reason: BaseException) -> None:
        crashes.append(reason)

    monkeypatch.setattr(thread, "crash", crash)
    assert await thread._commit({FIRST: 5}) is False
    assert not crashes
    await AIOKafkaConsumerThread._commit(thread, {FIRST: 5})
    assert [type(one) for one in crashes] == [ValueError], "once this fails, the override may go"
    await thread._consumer.stop()


async def test_what_sending_returns_must_itself_be_awaited_for_the_ack(
    producing: FacestreamApp,
) -> None:
    """faust_engine.py: the first await hands over, the second is the broker's word."""
    headers = [("text", b"1"), ("null", None)]
    sent = await producing.producer.send("sent", b"key", b"value", None, None, headers)
    assert isinstance(sent, asyncio.Future)
    assert not sent.done()
    assert (await sent).offset >= 0


async def test_what_the_producer_refuses_at_once_comes_in_fausts_envelope(
    producing: FacestreamApp,
) -> None:
    """faust_engine.py: it looks at the cause."""
    with pytest.raises(ProducerSendError) as caught:
        await producing.producer.send("sent", b"key", b"x" * 300_000, None, None, None)
    assert isinstance(caught.value.__cause__, MessageSizeTooLargeError)


async def test_a_producer_that_has_stopped_says_that_it_is_not_ready(
    producing: FacestreamApp,
) -> None:
    """faust_engine.py: a handler that outlives the drain meets this."""
    await producing.producer.stop()
    with pytest.raises(NotReady):
        await producing.producer.send("sent", None, b"value", None, None, None)


@pytest.mark.parametrize(("key", "value"), [(b"k", None), (None, b""), (b"", b""), (b"k", b"\xff")])
async def test_nothing_and_empty_stay_what_they_are(
    producing: FacestreamApp, key: bytes | None, value: bytes | None
) -> None:
    """dead_letters.py: dead letters are the original bytes, through Faust's serializers too."""
    topic = f"bytes-{uuid4()}"
    headers = [("text", b"1"), ("null", None), ("text", b"2")]
    await Publisher(FaustEngine(producing), is_leaving=lambda: False).publish(
        [Outgoing(topic, key, value, headers)]
    )
    async with TopicReader(producing.settings, topic) as reader:
        (record,) = [record async for record in reader.records(follow=False)]
    assert (record.key, record.value, list(record.headers)) == (key, value, headers)


async def test_the_publisher_works_with_fausts_producer(producing: FacestreamApp) -> None:
    """The parts together: an ack, and a message that is too large."""
    publisher = Publisher(FaustEngine(producing), is_leaving=lambda: False)
    await publisher.publish([Outgoing("sent", b"key", b"value", [("null", None)])] * 3)
    with pytest.raises(UnpublishableMessage, match="KAFKA_MAX_MESSAGE_BYTES"):
        await publisher.publish([Outgoing("sent", b"key", b"x" * 300_000, [])])


async def test_a_send_that_is_cancelled_leaves_the_producers_future_alone(
    producing: FacestreamApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """faust_engine.py: the future is shared with the rest of the batch."""
    ack: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def send(*_: object) -> asyncio.Future[None]:
        return ack

    monkeypatch.setattr(producing.producer, "send", send)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await FaustEngine(producing).send(Outgoing("sent", None, b"value", []))
    assert not ack.cancelled()
    ack.set_result(None)


async def test_lag_counts_the_messages_behind_the_positions(
    app: FacestreamApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """faust_engine.py: of the topic's own partitions, where position and end are known."""
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
    assert await engine.lag(TOPIC) == 0, "a high watermark that is older than the position"
    positions[FIRST] = 0
    app.rebalancing = True
    assert await engine.lag(TOPIC) == 0, "the partitions may be another worker's now"

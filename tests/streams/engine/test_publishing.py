"""Publishing: only what the broker has acknowledged counts, and nothing is given up early."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    NotLeaderForPartitionError,
)
from faust.exceptions import NotReady, ProducerSendError

import streams.engine.publishing
from streams.engine.publishing import (
    Outgoing,
    Publisher,
    PublishingFailed,
    UnpublishableMessage,
    pause,
)
from streams.errors import Abandoned
from tests.fakes import FakeProducingApp

MESSAGE = Outgoing("scored-face", b"user", b"value", [("ce_id", b"1"), ("from-sender", None)])


def publisher_of(app: FakeProducingApp, **options: Any) -> Publisher:
    return Publisher(app, is_leaving=lambda: app.should_stop or app.rebalancing, **options)


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow at once."""
    monkeypatch.setattr(streams.engine.publishing, "FIRST_WAIT_S", 0.0)


def in_envelope(cause: Exception) -> ProducerSendError:
    """What Faust raises when aiokafka refuses a message at once."""
    error = ProducerSendError(f"Error while sending: {cause!r}")
    error.__cause__ = cause
    return error


async def test_a_message_is_published_as_it_is() -> None:
    """Topic, key, value and headers."""
    app = FakeProducingApp()
    await publisher_of(app).publish([MESSAGE])
    assert app.sent == [("scored-face", b"user", b"value", list(MESSAGE.headers))]


async def test_publishing_ends_with_the_brokers_ack_and_not_before() -> None:
    """Handing a message to the producer is not enough."""
    app = FakeProducingApp(acks=[...])
    publishing = asyncio.create_task(publisher_of(app).publish([MESSAGE]))
    for _ in range(10):
        await asyncio.sleep(0)
    assert app.sent
    assert not publishing.done()
    app.futures[0].set_result(None)
    await publishing


async def test_all_messages_are_acknowledged_in_one_await() -> None:
    """They are on their way together; one slow ack holds back the return, not the others."""
    app = FakeProducingApp(acks=[..., None, None])
    publishing = asyncio.create_task(publisher_of(app).publish([MESSAGE] * 3))
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(app.sent) == 3
    assert not publishing.done()
    app.futures[0].set_result(None)
    await publishing


async def test_nothing_to_publish_is_nothing_to_do() -> None:
    """As for a dead letter that nobody waits for."""
    app = FakeProducingApp()
    await publisher_of(app).publish([])
    assert app.sent == []


@pytest.mark.parametrize(
    "error",
    [
        KafkaConnectionError("away"),
        NotLeaderForPartitionError("moved"),
        in_envelope(KafkaTimeoutError("no metadata")),
        in_envelope(KafkaConnectionError("away")),
        NotReady("producer not yet started"),
        OSError("network"),
    ],
)
async def test_a_refused_message_is_tried_until_it_succeeds(error: Exception) -> None:
    """Whatever the broker or the producer cannot do now, it may do later."""
    app = FakeProducingApp(refusals=[error] * 3)
    await publisher_of(app).publish([MESSAGE])
    assert len(app.sent) == 1


async def test_a_failed_ack_is_tried_until_it_succeeds() -> None:
    """Twice on the wire is a duplicate, which is harmless; never would be a loss."""
    app = FakeProducingApp(acks=[KafkaConnectionError("away"), NotLeaderForPartitionError(), None])
    await publisher_of(app).publish([MESSAGE])
    assert len(app.sent) == 3


async def test_every_attempt_that_failed_is_told_of() -> None:
    """Health must not take a broker that is away for a worker that has stalled."""
    app, told = FakeProducingApp(acks=[KafkaConnectionError("away")] * 3), list[None]()
    await publisher_of(app, on_wait=lambda: told.append(None)).publish([MESSAGE])
    assert len(told) == 3


async def test_only_the_message_that_failed_is_sent_again() -> None:
    """The others have their acks."""
    first, second = MESSAGE, Outgoing("scored-face", b"user", b"second", [])
    app = FakeProducingApp(acks=[None, KafkaConnectionError("away"), None])
    await publisher_of(app).publish([first, second])
    assert [value for _, _, value, _ in app.sent] == [b"value", b"second", b"second"]


@pytest.mark.parametrize(
    "app",
    [
        FakeProducingApp(refusals=[in_envelope(MessageSizeTooLargeError("300 > 200"))]),
        FakeProducingApp(acks=[MessageSizeTooLargeError("300 > 200")]),
    ],
    ids=["by the producer", "by the broker"],
)
async def test_a_message_that_is_too_large_is_not_tried_again(app: FakeProducingApp) -> None:
    """No retry can help; the message names the setting."""
    with pytest.raises(UnpublishableMessage, match="26 bytes .* scored-face.*MAX_MESSAGE_BYTES"):
        await publisher_of(app).publish([MESSAGE])
    assert len(app.futures) <= 1


async def test_any_other_error_is_a_bug_and_comes_through() -> None:
    """A retry would hide it for five minutes."""
    app = FakeProducingApp(refusals=[AttributeError("a bug")])
    with pytest.raises(AttributeError):
        await publisher_of(app).publish([MESSAGE])


@pytest.mark.parametrize("leaving", ["should_stop", "rebalancing"])
async def test_retries_are_abandoned_when_the_worker_leaves(leaving: str) -> None:
    """The partition's next owner publishes it."""
    app = FakeProducingApp(acks=[KafkaConnectionError("away")] * 1000)
    setattr(app, leaving, True)
    with pytest.raises(Abandoned):
        await publisher_of(app).publish([MESSAGE])
    assert len(app.sent) == 1, "the first attempt is made all the same: a drain finishes its work"


async def test_after_long_without_an_ack_the_worker_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one may reach the broker where this one cannot."""
    monkeypatch.setattr(streams.engine.publishing, "GIVE_UP_AFTER_S", 0.05)
    app = FakeProducingApp(refusals=[KafkaConnectionError("away")] * 1_000_000)
    with pytest.raises(PublishingFailed, match="scored-face acknowledged nothing"):
        await publisher_of(app).publish([MESSAGE])


async def test_a_time_out_does_not_cancel_what_belongs_to_the_producer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its future is shared with the rest of the batch; the message is sent again beside it."""
    monkeypatch.setattr(streams.engine.publishing, "ATTEMPT_TIMEOUT_S", 0.01)
    app = FakeProducingApp(acks=[..., None])
    await publisher_of(app).publish([MESSAGE])
    assert len(app.sent) == 2
    assert not app.futures[0].cancelled()
    app.futures[0].set_exception(KafkaConnectionError("much later"))


async def test_a_pause_ends_soon_after_the_worker_begins_to_leave() -> None:
    """A long back-off must not outlast the drain."""
    app = FakeProducingApp()
    pausing = asyncio.create_task(pause(3600, lambda: app.should_stop))
    await asyncio.sleep(0)
    app.should_stop = True
    async with asyncio.timeout(5):
        with pytest.raises(Abandoned):
            await pausing


async def test_half_of_an_answer_is_never_sent() -> None:
    """One face of several that is too large: none is published, the event becomes a dead letter."""
    app = FakeProducingApp()
    large = Outgoing("scored-face", b"user", b"x" * 100, [])
    publisher = publisher_of(app, max_bytes=lambda topic: 50)
    with pytest.raises(UnpublishableMessage, match="50 may be sent"):
        await publisher.publish([MESSAGE, large])
    assert app.sent == []

"""Publishing: a message counts once the broker has acknowledged it; failed sends are retried."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    NotLeaderForPartitionError,
)
from faust.exceptions import NotReady

import streams.engine.publishing
from streams.engine.publishing import Publisher, PublishingFailed, UnpublishableMessage, pause
from streams.errors import Abandoned
from streams.messages import Outgoing
from tests.fakes import FakeEngine

MESSAGE = Outgoing("scored-face", b"user", b"value", [("ce_id", b"1"), ("from-sender", None)])


def publisher_of(
    engine: FakeEngine,
    on_wait: Callable[[], None] = lambda: None,
    max_bytes: Callable[[str], int] | None = None,
) -> Publisher:
    """Make a publisher that abandons its retries when the engine stops."""
    return Publisher(engine, on_wait, is_leaving=lambda: engine.stopping, max_bytes=max_bytes)


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry without a wait."""
    monkeypatch.setattr(streams.engine.publishing, "FIRST_WAIT_S", 0.0)


async def test_publishing_ends_with_the_ack_of_the_broker() -> None:
    """Passing a message to the producer is not enough."""
    engine = FakeEngine(acks=[...])
    publishing = asyncio.create_task(publisher_of(engine).publish([MESSAGE]))
    for _ in range(10):
        await asyncio.sleep(0)
    assert [MESSAGE] == engine.sent
    assert not publishing.done()
    engine.silence[0].set()
    await publishing


async def test_all_messages_are_sent_together() -> None:
    """One slow ack holds back the return, not the other messages."""
    engine = FakeEngine(acks=[..., None, None])
    publishing = asyncio.create_task(publisher_of(engine).publish([MESSAGE] * 3))
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(engine.sent) == 3
    assert not publishing.done()
    engine.silence[0].set()
    await publishing


async def test_an_empty_list_publishes_nothing() -> None:
    """A dead letter without a user has no answer."""
    engine = FakeEngine()
    await publisher_of(engine).publish([])
    assert engine.sent == []


@pytest.mark.parametrize(
    "error",
    [
        KafkaConnectionError("away"),
        NotLeaderForPartitionError("moved"),
        KafkaTimeoutError("no metadata"),
        NotReady("producer not yet started"),
        OSError("network"),
    ],
)
async def test_a_failed_send_is_retried_until_it_succeeds(error: Exception) -> None:
    """A duplicate is harmless; a missing message is a loss."""
    engine = FakeEngine(acks=[error] * 3)
    await publisher_of(engine).publish([MESSAGE])
    assert len(engine.sent) == 4


async def test_on_wait_is_called_before_each_retry() -> None:
    """Health must not report an absent broker as a stalled worker."""
    engine, calls = FakeEngine(acks=[KafkaConnectionError("away")] * 3), list[None]()
    await publisher_of(engine, lambda: calls.append(None)).publish([MESSAGE])
    assert len(calls) == 3


async def test_only_the_failed_message_is_sent_again() -> None:
    """The others are acknowledged."""
    first, second = MESSAGE, Outgoing("scored-face", b"user", b"second", [])
    engine = FakeEngine(acks=[None, KafkaConnectionError("away"), None])
    await publisher_of(engine).publish([first, second])
    assert [message.value for message in engine.sent] == [b"value", b"second", b"second"]


async def test_a_message_that_is_too_large_is_not_retried() -> None:
    """No retry can help; the error names the setting."""
    engine = FakeEngine(acks=[MessageSizeTooLargeError("300 > 200")])
    with pytest.raises(UnpublishableMessage, match="26 bytes .* scored-face.*MAX_MESSAGE_BYTES"):
        await publisher_of(engine).publish([MESSAGE])
    assert len(engine.sent) == 1


async def test_an_unexpected_error_is_raised_at_once() -> None:
    """It is a bug, and a retry would hide it for five minutes."""
    engine = FakeEngine(acks=[AttributeError("a bug")])
    with pytest.raises(AttributeError):
        await publisher_of(engine).publish([MESSAGE])


async def test_retries_are_abandoned_when_the_worker_leaves() -> None:
    """The partition's next owner publishes the answer."""
    engine = FakeEngine(acks=[KafkaConnectionError("away")] * 1000, stopping=True)
    with pytest.raises(Abandoned):
        await publisher_of(engine).publish([MESSAGE])
    assert len(engine.sent) == 1, "the first attempt is made, so that a drain finishes its work"


async def test_publishing_fails_after_a_long_time_without_an_ack(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The worker stops then: another one may reach the broker."""
    monkeypatch.setattr(streams.engine.publishing, "GIVE_UP_AFTER_S", 0.05)
    engine = FakeEngine(acks=[KafkaConnectionError("away")] * 1_000_000)
    with pytest.raises(PublishingFailed, match="scored-face acknowledged nothing"):
        await publisher_of(engine).publish([MESSAGE])


async def test_a_send_without_an_ack_times_out_and_is_retried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each time-out is reported."""
    monkeypatch.setattr(streams.engine.publishing, "ATTEMPT_TIMEOUT_S", 0.01)
    engine, timeouts = FakeEngine(acks=[..., None]), list[None]()
    publisher = Publisher(
        engine, is_leaving=lambda: False, on_timeout=lambda: timeouts.append(None)
    )
    await publisher.publish([MESSAGE])
    assert (len(engine.sent), len(timeouts)) == (2, 1)


async def test_a_pause_ends_soon_after_the_worker_begins_to_leave() -> None:
    """A long back-off must not outlast the drain."""
    engine = FakeEngine()
    pausing = asyncio.create_task(pause(3600, lambda: engine.stopping))
    await asyncio.sleep(0)
    engine.stopping = True
    async with asyncio.timeout(5):
        with pytest.raises(Abandoned):
            await pausing


async def test_an_answer_is_published_completely_or_not_at_all() -> None:
    """If one face of several is too large, none is published; the event becomes a dead letter."""
    engine = FakeEngine()
    large = Outgoing("scored-face", b"user", b"x" * 100, [])
    publisher = publisher_of(engine, max_bytes=lambda topic: 50)
    with pytest.raises(UnpublishableMessage, match="the limit is 50"):
        await publisher.publish([MESSAGE, large])
    assert engine.sent == []

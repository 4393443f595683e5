"""The answer follower against a real broker: it reads from the end of the topic onwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

import streams.kafka.answer_follower
from schemas.codec import encode_scored_face
from schemas.scored_face import ScoredFace
from streams.config.settings import load_settings
from streams.kafka.answer_follower import AnswerFollower, FollowingFailed
from streams.kafka.topic_creation import ensure_topics
from streams.local.embedded_broker import EmbeddedBroker, free_port
from tests.integration.fallbacks import simulated_face
from tests.integration.stack import Stack, running_stack


class WatchedFollower(AnswerFollower):
    """A follower that counts the records it reads."""

    read = 0

    def _note(self, record: ConsumerRecord) -> None:
        self.read += 1
        super()._note(record)


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Stack]:
    """Start a broker with the topics and without a worker."""
    with running_stack(tmp_path) as stack:
        await ensure_topics(stack.settings)
        yield stack


@pytest.fixture
async def follower(running: Stack) -> AsyncIterator[WatchedFollower]:
    following = WatchedFollower(running.settings)
    yield following
    await following.close()


async def publish(stack: Stack, face: ScoredFace) -> None:
    topic, key = stack.topics.scored_face, face.user_id.encode()
    await stack.publish(encode_scored_face(face), key=key, topic=topic)


async def answer(waiting: asyncio.Future[tuple[ScoredFace, ...]]) -> tuple[ScoredFace, ...]:
    async with asyncio.timeout(20):
        return await waiting


async def until_idle(follower: AnswerFollower) -> None:
    async with asyncio.timeout(20):
        while follower._following:
            await asyncio.sleep(0.01)


async def test_an_answer_collects_all_faces(running: Stack, follower: WatchedFollower) -> None:
    """Order, duplicates, other events and invalid records do not matter."""
    event_id = uuid4()
    awaited = await follower.expect(event_id, "ada")
    first, second = simulated_face(event_id, 0, 2), simulated_face(event_id, 1, 2)
    await publish(running, simulated_face(uuid4()))
    await publish(running, simulated_face(event_id, user_id="grace"))
    await running.publish(b"no face", key=b"ada", topic=running.topics.scored_face)
    await publish(running, second)
    await publish(running, second)
    assert not awaited.answer.done()
    await publish(running, first)
    assert (first, second) == await answer(awaited.answer)


async def test_several_waiters_get_the_same_answer(
    running: Stack, follower: WatchedFollower
) -> None:
    """A waiter that gives up does not affect the others."""
    event_id = uuid4()
    one, another, third = [await follower.expect(event_id, "ada") for _ in range(3)]
    follower.forget(third)
    await publish(running, simulated_face(event_id))
    assert await answer(one.answer) == await answer(another.answer)
    assert third.answer.cancelled()


async def test_older_answers_are_not_read(running: Stack, follower: WatchedFollower) -> None:
    """A topic may hold months of answers; only each partition's last batch may be read."""
    topic = running.topics.scored_face
    for number in range(40):
        await running.publish(b"older", key=f"user-{number}".encode(), topic=topic)
    event_id = uuid4()
    awaited = await follower.expect(event_id, "ada")
    await publish(running, simulated_face(event_id))
    await answer(awaited.answer)
    partitions = running.settings.kafka_partitions
    assert 1 <= follower.read <= 1 + partitions


async def test_expect_returns_only_when_the_end_offsets_are_known(
    follower: WatchedFollower, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event published earlier could be answered before the follower's position."""
    requested, released = asyncio.Event(), asyncio.Event()
    position = AIOKafkaConsumer.position

    async def slow_position(consumer: AIOKafkaConsumer, partition: TopicPartition) -> int:
        requested.set()
        await released.wait()
        found: int = await position(consumer, partition)
        return found

    monkeypatch.setattr(AIOKafkaConsumer, "position", slow_position)
    expecting = asyncio.create_task(follower.expect(uuid4(), "ada"))
    async with asyncio.timeout(20):
        await asyncio.wait(
            {expecting, asyncio.create_task(requested.wait())}, return_when="FIRST_COMPLETED"
        )
        assert not expecting.done()
        released.set()
        await expecting


async def test_following_stops_when_idle_and_starts_again(
    running: Stack, follower: WatchedFollower, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a single request the worker does not keep reading all answers."""
    monkeypatch.setattr(streams.kafka.answer_follower, "IDLE_S", 0.3)
    assert follower._following is None
    awaited = await follower.expect(uuid4(), "ada")
    assert follower._following is not None
    follower.forget(awaited)
    await until_idle(follower)
    event_id = uuid4()
    again = await follower.expect(event_id, "ada")
    await publish(running, simulated_face(event_id))
    assert (await answer(again.answer))[0].event_id == event_id


async def test_following_continues_while_an_answer_is_awaited(
    running: Stack, follower: WatchedFollower, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The idle limit does not apply while a waiter is left."""
    monkeypatch.setattr(streams.kafka.answer_follower, "IDLE_S", 0.05)
    event_id = uuid4()
    awaited = await follower.expect(event_id, "ada")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(awaited.answer), 1.0)
    assert follower._following is not None
    await publish(running, simulated_face(event_id))
    await answer(awaited.answer)


async def test_an_unreachable_broker_fails_at_once(tmp_path: Path) -> None:
    """Once the broker is back, the next call succeeds."""
    port = free_port()
    settings = load_settings(kafka_bootstrap_servers=f"127.0.0.1:{port}")
    follower = AnswerFollower(settings)
    with pytest.raises(FollowingFailed, match="cannot be read now"):
        await follower.expect(uuid4(), "ada")
    assert follower._following is None
    with EmbeddedBroker(port, log_file=tmp_path / "broker.log"):
        await ensure_topics(settings)
        await follower.expect(uuid4(), "ada")
        await follower.close()

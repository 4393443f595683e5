"""Hostile inputs through a real broker and a real worker, which must keep running."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord
from hypothesis import strategies as st

from schemas.codec import decode_scored_face
from schemas.fallback import FallbackHeaders
from schemas.headers import last_value
from tests.integration.stack import DEADLINE_S, Stack, running_stack
from tools.fuzz.hostile_events import Message, messages, with_picture, with_uri
from tools.fuzz.hostile_pictures import recipes
from tools.fuzz.hostile_uris import uris
from tools.fuzz.leaks import leaked_secret
from tools.fuzz.places import (
    MAX_IMAGE_BYTES,
    SECRET,
    Folders,
    PictureSite,
    canary_digest,
    make_folders,
)
from tools.fuzz.run import Part

INPUTS = 300
SEED = 7


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A broker for this module."""
    with running_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running


def hostile(folders: Folders, port: int) -> list[Message]:
    """Return a third each of hostile events, damaged pictures and forbidden claim checks."""
    found: list[Message] = []

    def take(message: Message) -> int:
        found.append(message)
        return 1

    no_fields: st.SearchStrategy[list[tuple[str, str]]] = st.just([])
    pictures = st.builds(with_picture, recipes, no_fields, binary=st.booleans())
    claims = st.builds(with_uri, uris(folders, port), no_fields)
    for number, strategy in enumerate((messages, pictures, claims), start=1):
        part = Part("worker", strategy, take)
        part.run(number * INPUTS // 3 - len(found), SEED)
        assert not part.failures
    return found


def trace(number: int) -> bytes:
    """Return the trace of an event, which its answers and its dead letter carry."""
    return f"00-{number + 1:032x}-{1:016x}-01".encode()


async def publish(stack: Stack, sent: Mapping[bytes, Message]) -> None:
    async with stack.producer() as producer:
        for mark, message in sent.items():
            await _publish(stack, producer, message, mark)


async def _publish(stack: Stack, producer: AIOKafkaProducer, message: Message, mark: bytes) -> None:
    # Kafka accepts a null header, which the type hints of the stack do not.
    headers: Any = [*message.headers, ("traceparent", mark)]
    topic = stack.topics.image_submitted
    if message.key is None and message.value is None:
        await stack.publish(None, headers=headers)
    else:
        await producer.send_and_wait(topic, message.value, key=message.key, headers=headers)


async def test_a_worker_survives_hostile_input(stack: Stack, tmp_path: Path) -> None:
    """Each input gets a real answer, or is kept in the fallback topic byte for byte."""
    folders, site = make_folders(tmp_path), PictureSite()
    await site.start()
    sent = {trace(n): message for n, message in enumerate(hostile(folders, site.port))}
    missing, real = dict(sent), 0
    topics = (stack.topics.scored_face, stack.topics.simulated_fallback)
    with stack.worker(
        IMAGE_URI_ALLOW=f"file://{folders.allowed}/,http://127.0.0.1:{site.port}/open/",
        MAX_IMAGE_BYTES=str(MAX_IMAGE_BYTES),
        ML_ATTEMPTS="1",
        API_TOKEN=SECRET,
    ) as worker:
        await publish(stack, sent)
        async with stack.reader(*topics) as reader, asyncio.timeout(DEADLINE_S):
            async for record in reader.records(follow=True):
                mark = last_value(record.headers, "traceparent") or b""
                if record.topic == stack.topics.simulated_fallback:
                    assert_kept(record, sent[mark])
                    missing.pop(mark, None)
                elif decode_scored_face(record.value).provenance == "real":
                    real += 1
                    missing.pop(mark, None)
                assert canary_digest().encode() not in (record.value or b"")
                if not missing:
                    break
        assert worker.poll() is None
    await site.stop()
    assert real > 0
    assert site.trespasses == []
    log = next(stack.folder.glob("worker-*.log")).read_text(errors="replace")
    assert "event falls back" in log
    assert leaked_secret(log.splitlines(), (SECRET, canary_digest())) is None


def assert_kept(record: ConsumerRecord, message: Message) -> None:
    nothing = message.key is None and message.value is None
    assert record.key == message.key
    assert record.value == (b"" if nothing else message.value)
    assert FallbackHeaders.from_headers(record.headers).source_topic.endswith("image-submitted")

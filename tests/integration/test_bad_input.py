"""Bad input becomes a dead letter with its original bytes and reason, and a simulated answer."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiokafka import ConsumerRecord

from schemas.fallback import FallbackHeaders
from streams.local.worker_process import WorkerProcess
from tests.integration.stack import Stack, answers_for, first_record, new_event_id, running_stack
from tools.pictures import encoded, png_declaring, portrait, portrait_bytes

MAX_IMAGE_BYTES = 300_000


@dataclass(frozen=True)
class Bad:
    """A bad event, the reason of its dead letter, and part of the reason's detail."""

    value: bytes | None
    reason: str
    detail: str
    answered: bool = True


def event(user_id: str, **fields: Any) -> bytes:
    return json.dumps({"event_id": str(new_event_id()), "user_id": user_id, **fields}).encode()


def inline(image: bytes, **fields: Any) -> bytes:
    return event("bad", image_base64=base64.b64encode(image).decode(), **fields)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create the folder that claim checks may point into."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "grace.jpg").write_bytes(portrait_bytes())
    (folder / "large.jpg").write_bytes(portrait_bytes() + b"\0" * MAX_IMAGE_BYTES)
    return folder


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Iterator[Stack]:
    """Allow claim checks into one folder, and limit the size of pictures."""
    with running_stack(
        tmp_path_factory.mktemp("stack"),
        IMAGE_URI_ALLOW=f"file://{pictures}/",
        MAX_IMAGE_BYTES=str(MAX_IMAGE_BYTES),
    ) as running:
        yield running


@pytest.fixture(scope="module")
def worker(stack: Stack) -> Iterator[WorkerProcess]:
    """Start one worker for all tests of this module."""
    with stack.worker() as running:
        yield running


BAD: dict[str, Callable[[Path], Bad]] = {
    "not JSON": lambda _: Bad(b"\xff\xfe not json", "invalid_event", "", answered=False),
    "neither key nor value": lambda _: Bad(None, "invalid_event", "", answered=False),
    "JSON of the wrong shape": lambda _: Bad(b"[1, 2]", "invalid_event", "object", answered=False),
    "no user": lambda _: Bad(
        json.dumps({"image_base64": "AAAA"}).encode(), "invalid_event", "user_id", answered=False
    ),
    "no picture": lambda _: Bad(event("bad"), "invalid_event", "image_base64"),
    "both kinds of picture": lambda _: Bad(
        event("bad", image_base64="AAAA", image_uri="file:///x.jpg"), "invalid_event", "image_uri"
    ),
    "a user that is a number": lambda _: Bad(
        json.dumps({"user_id": 7, "image_base64": "AAAA"}).encode(),
        "invalid_event",
        "user_id",
        answered=False,
    ),
    "wrong base64": lambda _: Bad(
        event("bad", image_base64="***"), "invalid_event", "image_base64"
    ),
    "an empty picture": lambda _: Bad(inline(b""), "invalid_event", "image_base64"),
    "a truncated picture": lambda _: Bad(inline(portrait_bytes()[:20_000]), "unreadable_image", ""),
    "no picture in the bytes": lambda _: Bad(inline(b"hello" * 100), "unreadable_image", ""),
    "a picture of one pixel": lambda _: Bad(
        inline(encoded(portrait().resize((1, 1)), "PNG")), "unreadable_image", "1"
    ),
    "declared 50 megapixels": lambda _: Bad(
        inline(png_declaring(10_000, 5_000)), "image_too_large", "50,000,000"
    ),
    "too many bytes": lambda _: Bad(
        inline(portrait_bytes() + b"\0" * MAX_IMAGE_BYTES), "image_too_large", "bytes"
    ),
    "a wrong digest": lambda _: Bad(
        inline(portrait_bytes(), image_sha256="0" * 64), "invalid_event", "image_sha256"
    ),
    "a claim check to a missing file": lambda folder: Bad(
        event("bad", image_uri=f"file://{folder}/missing.jpg"), "image_unavailable", "missing.jpg"
    ),
    "a forbidden claim check": lambda _: Bad(
        event("bad", image_uri="file:///etc/hostname"), "image_unavailable", "IMAGE_URI_ALLOW"
    ),
    "a claim check outside of the folder": lambda folder: Bad(
        event("bad", image_uri=f"file://{folder}/../x.jpg"), "image_unavailable", ""
    ),
    "a claim check to a file that is too large": lambda folder: Bad(
        event("bad", image_uri=f"file://{folder}/large.jpg"), "image_too_large", ""
    ),
    "a claim check to another picture": lambda folder: Bad(
        event("bad", image_uri=f"file://{folder}/grace.jpg", image_sha256="0" * 64),
        "image_unavailable",
        "image_sha256",
    ),
    "real scoring declined": lambda _: Bad(
        inline(portrait_bytes(), use_real_ml=False), "real_ml_disabled", "use_real_ml"
    ),
}


@pytest.mark.parametrize("name", BAD)
async def test_bad_input_becomes_a_dead_letter_and_a_simulated_answer(
    name: str, stack: Stack, worker: WorkerProcess, pictures: Path
) -> None:
    """The letter keeps bytes and headers; the answer needs a readable event and user id."""
    bad = BAD[name](pictures)
    mark = ("mark", str(new_event_id()).encode())

    async with stack.reader(stack.topics.simulated_fallback) as reader:
        await stack.publish(bad.value, headers=[mark])
        letter = await first_record(reader, lambda record: mark in record.headers)
    assert letter.value == (bad.value or b"")
    assert letter.headers[0] == mark
    failure = FallbackHeaders.from_headers(letter.headers)
    assert failure.fallback_reason == bad.reason
    assert bad.detail in failure.fallback_detail
    assert failure.source_topic == stack.topics.image_submitted

    if not bad.answered:
        return
    event_id = json.loads(bad.value or b"")["event_id"]

    def answers_it(record: ConsumerRecord) -> bool:
        return bool(json.loads(record.value)["event_id"] == event_id)

    async with stack.reader(stack.topics.scored_face) as reader:
        answer = json.loads((await first_record(reader, answers_it)).value)
    assert answer["provenance"] == "simulated"
    assert answer["fallback_reason"] == bad.reason
    assert answer["user_id"] == "bad"
    assert answer["embedding_size"] == len(answer["embedding"]) == 128


async def test_a_claim_check_is_scored(stack: Stack, worker: WorkerProcess, pictures: Path) -> None:
    """An ``image_uri`` with its digest is scored like the picture itself."""
    event_id = new_event_id()
    digest = hashlib.sha256(portrait_bytes()).hexdigest()
    value = {
        "event_id": str(event_id),
        "user_id": "claimed",
        "image_uri": f"file://{pictures}/grace.jpg",
        "image_sha256": digest,
    }
    async with stack.reader(stack.topics.scored_face) as reader:
        await stack.publish(json.dumps(value).encode(), key=b"claimed")
        face = (await answers_for(reader, {event_id}))[event_id][0]
    assert face.provenance == "real"
    assert face.image_sha256 == digest


async def test_a_dead_letter_can_be_published_again(
    stack: Stack, worker: WorkerProcess, pictures: Path
) -> None:
    """Once its cause is mended, the unchanged letter is scored from its source topic."""
    value = json.loads(event("again", image_uri=f"file://{pictures}/later.jpg"))
    async with stack.reader(stack.topics.simulated_fallback) as reader:
        await stack.publish(json.dumps(value).encode(), key=b"again")
        letter = await first_record(reader, lambda record: record.key == b"again")
    (pictures / "later.jpg").write_bytes(portrait_bytes())
    async with stack.reader(stack.topics.scored_face) as reader:
        await stack.publish(letter.value, key=letter.key, headers=letter.headers)
        async for face in reader.scored_faces(follow=True):
            if str(face.event_id) == value["event_id"] and face.provenance == "real":
                break


@pytest.mark.parametrize("topic", ["image_submitted", "scored_face"])
@pytest.mark.parametrize("large", ["value", "key", "header"])
async def test_an_event_too_large_for_the_fallback_topic_is_stored_without_its_value(
    topic: str, large: str, stack: Stack, worker: WorkerProcess
) -> None:
    """Compression lets a producer publish more than fits a dead letter."""
    mark = ("mark", str(new_event_id()).encode())
    source: str = getattr(stack.topics, topic)
    huge = b"x" * (2 * stack.settings.kafka_max_message_bytes + 500_000)
    sent: dict[str, Any] = {"value": b"not json", "key": b"huge", "headers": []}
    sent |= {"headers": [("large", huge)]} if large == "header" else {large: huge}
    async with stack.producer(compression_type="gzip") as producer:
        at = await producer.send_and_wait(source, **sent)

    def is_its_letter(record: ConsumerRecord) -> bool:
        failure = FallbackHeaders.from_headers(record.headers)
        place = (failure.source_topic, failure.source_partition, failure.source_offset)
        return bool(place == (source, at.partition, at.offset))

    async with stack.reader(stack.topics.simulated_fallback) as reader:
        letter = await first_record(reader, is_its_letter)
        detail = FallbackHeaders.from_headers(letter.headers).fallback_detail
        assert letter.value == b""
        assert letter.key == (None if large == "key" else b"huge")
        assert "left at its source" in detail
        if large == "key":
            assert f"a key of {len(huge)} bytes" in detail
            assert hashlib.sha256(huge).hexdigest() in detail
        # The worker continues.
        await stack.publish(b"not json", headers=[mark], topic=source)
        await first_record(reader, lambda record: mark in record.headers)
    assert worker.poll() is None

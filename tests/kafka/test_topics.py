"""Topics on a cluster without auto-creation, and messages of the largest size."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from schemas.fallback import FallbackHeaders
from streams.errors import StreamsError
from streams.kafka.connection import client_options
from streams.kafka.topic_creation import ensure_topics
from streams.kafka.topics import largest_message
from tests.integration.stack import (
    Stack,
    answers_for,
    first_record,
    image_event,
    wait_until,
)
from tests.kafka.conftest import stack_on
from tests.kafka.topic_admin import admin_client, change_topic, topic_config
from tools.kafka.apache_kafka import ApacheKafka
from tools.pictures import portrait, portrait_bytes

#: Bytes that an event adds to its picture in binary mode: key, headers, Kafka's framing.
FRAME = 1024


def portrait_of(size: int) -> bytes:
    """Return a face of exactly so many bytes: a large PNG with noise behind its end."""
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(portrait())).save(buffer, "PNG")
    data = buffer.getvalue()
    assert len(data) < size
    return data + np.random.default_rng(7).bytes(size - len(data))


async def test_a_worker_creates_no_other_topics(kafka: ApacheKafka, stack: Stack) -> None:
    """Faust's own topics (leader, changelogs, replies) need rights that clusters may deny."""
    with stack.worker() as worker:
        assert worker.poll() is None
        async with admin_client(client_options(stack.settings)) as admin:
            prefix = stack.settings.kafka_topic_prefix
            group = stack.settings.kafka_group_id
            names = [
                name
                for name in await admin.list_topics()
                if name.startswith(prefix) or name.startswith(group)
            ]
    assert sorted(names) == sorted(stack.topics.all())
    options = client_options(stack.settings)
    for name in stack.topics.all():
        largest = largest_message(stack.settings, name)
        assert await topic_config(options, name, "max.message.bytes") == str(largest)


def test_missing_topics_are_named_and_not_created(stack: Stack) -> None:
    """``KAFKA_CREATE_TOPICS=false`` leaves their creation to operators."""
    with stack.worker(wait=False, KAFKA_CREATE_TOPICS="false") as worker:
        wait_until(lambda: worker.poll() is not None, "the worker ends")
        assert worker.log_file is not None
        assert stack.topics.image_submitted in worker.log_file.read_text()


async def test_messages_up_to_the_limit_are_answered_and_larger_ones_refused(
    kafka: ApacheKafka, tmp_path: Path
) -> None:
    """The limit is 8 MiB by default, on all topics; Kafka's own is 1 MiB."""
    with stack_on(kafka, tmp_path) as stack, stack.worker():
        limit = stack.settings.kafka_max_message_bytes
        largest = portrait_of(limit - FRAME)
        scored = image_event("large", largest)
        letter = image_event("letter", largest, use_real_ml=False)
        async with stack.submitter() as submitter, stack.reader(stack.topics.scored_face) as reader:
            for event in (scored, letter):
                await submitter.submit(event, media_type="image/png")
            with pytest.raises(StreamsError, match="KAFKA_MAX_MESSAGE_BYTES"):
                await submitter.submit(
                    image_event("over", largest + bytes(2 * FRAME)), media_type="image/png"
                )
            answers = await answers_for(reader, {scored.event_id, letter.event_id})
        assert answers[scored.event_id][0].provenance == "real"
        assert answers[letter.event_id][0].provenance == "simulated"
        async with stack.reader(stack.topics.simulated_fallback) as reader:
            kept = await first_record(reader, lambda record: record.key == b"letter")
        assert kept.value == largest


async def test_an_answer_that_its_topic_refuses_becomes_a_dead_letter(stack: Stack) -> None:
    """An operator may have created scored-face with a lower limit than the settings."""
    await ensure_topics(stack.settings)
    await change_topic(
        client_options(stack.settings), stack.topics.scored_face, {"max.message.bytes": "20000"}
    )
    event = image_event("talkative", portrait_bytes(), metadata={"story": "x" * 30_000})
    with stack.worker():
        async with (
            stack.submitter() as submitter,
            stack.reader(stack.topics.simulated_fallback) as reader,
        ):
            await submitter.submit(event)
            letter = await first_record(reader, lambda record: record.key == b"talkative")
        after = image_event("after", portrait_bytes())
        async with stack.submitter() as submitter, stack.reader(stack.topics.scored_face) as reader:
            await submitter.submit(after)
            assert (await answers_for(reader, {after.event_id}))[after.event_id]
    failure = FallbackHeaders.from_headers(letter.headers)
    assert "too large" in failure.fallback_detail

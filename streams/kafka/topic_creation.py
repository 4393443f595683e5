"""Creates missing topics and checks existing ones, at the start of a worker and by command."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, for_code

from streams.config.kafka_settings import KafkaSettings
from streams.config.settings import Settings
from streams.errors import StartupError
from streams.kafka.connection import BrokerUnavailable, client_options, wait_for_broker
from streams.kafka.topic_limits import message_limits
from streams.kafka.topics import largest_message, topic_names

log = structlog.get_logger(__name__)

TOPIC_ALREADY_EXISTS = 36

#: The longest wait for all partitions to have a leader. The start continues after it: a partition
#: may have none for longer while a broker is down.
LEADERS_WITHIN_S = 10.0


class BrokerLost(StartupError):
    """The connection to the broker was lost while topics were prepared; a retry may succeed."""


@dataclass(frozen=True)
class TopicState:
    """A topic as the broker describes it."""

    name: str
    partitions: int
    replication: int
    max_message_bytes: int | None
    """Largest message that it accepts; None when the broker does not report it."""


def needed_topics(settings: Settings) -> tuple[str, ...]:
    """Return the topics that a worker needs; with ``SHADOW_ML`` there is one more."""
    names = topic_names(settings)
    return (*names.all(), names.shadow_scored) if settings.shadow_ml else names.all()


async def existing_topics(settings: KafkaSettings) -> set[str]:
    """Return the names of all topics of the cluster. Raises ``BrokerUnavailable``."""
    admin = AIOKafkaAdminClient(**client_options(settings))
    try:
        await admin.start()
        return set(await admin.list_topics())
    except (KafkaError, OSError) as error:
        raise BrokerUnavailable(settings, error) from error
    finally:
        await admin.close()


async def wait_for_topics(settings: Settings, should_stop: Callable[[], bool]) -> bool:
    """Wait for a broker and ensure the topics; start again when the connection is lost.

    Returns False when ``should_stop`` returns True first. Raises ``StartupError`` as
    ``ensure_topics`` does.
    """
    while await wait_for_broker(settings, should_stop):
        try:
            states = await ensure_topics(settings)
        except BrokerLost as error:
            log.warning("the connection to the broker was lost", reason=str(error))
        else:
            _warn_of_small_topics(states, settings)
            return True
    return False


async def ensure_topics(settings: Settings, *, create: bool = False) -> list[TopicState]:
    """Create missing topics, and return the state of all that a worker needs.

    ``create`` overrides ``KAFKA_CREATE_TOPICS=false``. Raises ``StartupError`` when a topic cannot
    be created, or is missing and must not be created; ``BrokerLost`` when a retry may succeed.
    """
    names = needed_topics(settings)
    admin = AIOKafkaAdminClient(**client_options(settings), request_timeout_ms=20_000)
    try:
        await admin.start()
        existing = set(await admin.list_topics())
        missing = [name for name in names if name not in existing]
        if missing and not (create or settings.kafka_create_topics):
            raise StartupError(
                f"topics are missing: {', '.join(missing)}; create them (`facestream topics`), "
                "or set KAFKA_CREATE_TOPICS=true"
            )
        if missing:
            await _create(admin, missing, settings)
        return await _states(admin, names)
    except (KafkaError, OSError) as error:
        may_pass = isinstance(error, OSError) or error.retriable
        kind = BrokerLost if may_pass else StartupError
        raise kind(f"cannot prepare the topics: {error}") from error
    finally:
        await admin.close()


def too_small(states: Sequence[TopicState], settings: KafkaSettings) -> list[TopicState]:
    """Return the topics whose limit is below the largest message; unknown limits do not count."""
    return [
        state
        for state in states
        if state.max_message_bytes is not None
        and state.max_message_bytes < largest_message(settings, state.name)
    ]


def _warn_of_small_topics(states: Sequence[TopicState], settings: KafkaSettings) -> None:
    for state in too_small(states, settings):
        log.warning(
            "topic refuses larger messages: an event that does not fit becomes a dead letter, "
            "without its value if it does not fit there either; raise the topic's "
            "max.message.bytes, or lower KAFKA_MAX_MESSAGE_BYTES",
            topic=state.name,
            max_message_bytes=state.max_message_bytes,
            needed=largest_message(settings, state.name),
        )


async def _create(admin: AIOKafkaAdminClient, missing: list[str], settings: KafkaSettings) -> None:
    topics = [
        NewTopic(
            name,
            settings.kafka_partitions,
            settings.kafka_replication,
            topic_configs=_configs(name, settings),
        )
        for name in missing
    ]
    response = await admin.create_topics(topics)
    for name, code, *rest in response.topic_errors:
        if code not in (0, TOPIC_ALREADY_EXISTS):
            reason = (rest[0] if rest else None) or for_code(code).__name__
            raise StartupError(
                f"topic {name} could not be created with {settings.kafka_partitions} partitions "
                f"and replication {settings.kafka_replication}: {reason}; see KAFKA_PARTITIONS "
                "and KAFKA_REPLICATION"
            )
    log.info("topics created", topics=missing, partitions=settings.kafka_partitions)


def _configs(name: str, settings: KafkaSettings) -> dict[str, str]:
    configs = {"max.message.bytes": str(largest_message(settings, name))}
    if settings.kafka_min_insync_replicas is not None:
        configs["min.insync.replicas"] = str(settings.kafka_min_insync_replicas)
    return configs


async def _described(admin: AIOKafkaAdminClient, names: Sequence[str]) -> list[dict[str, Any]]:
    """Describe the topics once all partitions have a leader, or ``LEADERS_WITHIN_S`` have passed.

    A broker of a cluster learns a moment later about a topic that another broker created.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + LEADERS_WITHIN_S
    while True:
        described: list[dict[str, Any]] = await admin.describe_topics(list(names))
        if all(_has_leaders(topic["partitions"]) for topic in described) or loop.time() > until:
            return described
        await asyncio.sleep(0.1)


def _has_leaders(partitions: Sequence[dict[str, int]]) -> bool:
    return bool(partitions) and all(partition["leader"] >= 0 for partition in partitions)


async def _states(admin: AIOKafkaAdminClient, names: Sequence[str]) -> list[TopicState]:
    described = await _described(admin, names)
    limits = await message_limits(admin, names)
    states = [
        TopicState(
            name=topic["topic"],
            partitions=len(topic["partitions"]),
            replication=len(topic["partitions"][0]["replicas"]) if topic["partitions"] else 0,
            max_message_bytes=limits.get(topic["topic"]),
        )
        for topic in described
    ]
    return sorted(states, key=lambda state: names.index(state.name))

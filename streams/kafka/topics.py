"""The topics: their names, and their explicit creation."""

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

log = structlog.get_logger(__name__)

TOPIC_ALREADY_EXISTS = 36

#: What our failure headers may add to an event that is already as large as its topic allows.
HEADER_ROOM = 64 * 1024


#: A partition may be without a leader for longer while a broker is away; a start goes on then.
KNOWN_WITHIN_S = 10.0


class BrokerLost(StartupError):
    """The broker was there and went away before all topics were."""


def largest_letter(settings: KafkaSettings) -> int:
    """Bytes of the largest dead letter that we may have to publish.

    A compressed batch may hold an event larger than its topic's limit, which counts the batch.
    """
    return 2 * settings.kafka_max_message_bytes + HEADER_ROOM


def largest_message(settings: KafkaSettings, topic: str) -> int:
    """Bytes of the largest message for a topic of ours."""
    if topic == topic_names(settings).simulated_fallback:
        return largest_letter(settings)
    return settings.kafka_max_message_bytes


@dataclass(frozen=True)
class TopicNames:
    """The names of our topics on this cluster."""

    image_submitted: str
    scored_face: str
    simulated_fallback: str
    shadow_scored: str

    def all(self) -> tuple[str, ...]:
        """Every topic that a worker needs, in the order in which an event travels."""
        return (self.image_submitted, self.scored_face, self.simulated_fallback)


@dataclass(frozen=True)
class TopicState:
    """What the broker says of one topic."""

    name: str
    partitions: int
    replication: int
    max_message_bytes: int | None
    """Of the largest message that it takes; None where the broker does not tell."""


def needed_topics(settings: Settings) -> tuple[str, ...]:
    """The topics that must be there with these settings: one more while users are shadowed."""
    names = topic_names(settings)
    return (*names.all(), names.shadow_scored) if settings.shadow_ml else names.all()


def topic_names(settings: KafkaSettings) -> TopicNames:
    """The topic names with the prefix of the settings."""
    prefix = settings.kafka_topic_prefix
    return TopicNames(
        image_submitted=f"{prefix}image-submitted",
        scored_face=f"{prefix}scored-face",
        simulated_fallback=f"{prefix}simulated-fallback",
        shadow_scored=f"{prefix}shadow-scored",
    )


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


async def ensure_topics(settings: Settings, *, create: bool = False) -> list[TopicState]:
    """Create the topics that are missing, and say what there is.

    ``create`` makes them also where KAFKA_CREATE_TOPICS is off: somebody has asked for it.
    Raises ``StartupError`` when a topic cannot be created, or is missing and may not be;
    ``BrokerLost`` where trying again may help.
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
        return await _describe(admin, names)
    except (KafkaError, OSError) as error:
        passing = isinstance(error, OSError) or error.retriable
        kind = BrokerLost if passing else StartupError
        raise kind(f"cannot prepare the topics: {error}") from error
    finally:
        await admin.close()


async def wait_for_topics(settings: Settings, should_stop: Callable[[], bool]) -> bool:
    """Wait for a broker and ensure the topics, again where it goes away in between.

    False when ``should_stop`` said so first. Raises ``StartupError`` as ``ensure_topics`` does.
    """
    while await wait_for_broker(settings, should_stop):
        try:
            states = await ensure_topics(settings)
        except BrokerLost as error:
            log.warning("the broker went away again", reason=str(error))
        else:
            for state in too_small(states, settings):
                log.warning(
                    "topic takes smaller messages than we may send: what does not fit is refused, "
                    "and kept in the fallback topic without its value if at all; raise its "
                    "max.message.bytes, or lower KAFKA_MAX_MESSAGE_BYTES",
                    topic=state.name,
                    max_message_bytes=state.max_message_bytes,
                    needed=largest_message(settings, state.name),
                )
            return True
    return False


def too_small(states: Sequence[TopicState], settings: KafkaSettings) -> list[TopicState]:
    """The topics that take less than we may have to send; those unknown are not among them."""
    return [
        state
        for state in states
        if state.max_message_bytes is not None
        and state.max_message_bytes < largest_message(settings, state.name)
    ]


async def _create(admin: AIOKafkaAdminClient, missing: list[str], settings: Settings) -> None:
    response = await admin.create_topics(
        [
            NewTopic(
                name,
                settings.kafka_partitions,
                settings.kafka_replication,
                topic_configs=_configs(name, settings),
            )
            for name in missing
        ]
    )
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


async def _known(admin: AIOKafkaAdminClient, names: Sequence[str]) -> list[dict[str, Any]]:
    """What the broker asked says of our topics, once it knows all of them.

    In a cluster, another broker than the one that created a topic hears of it a moment later.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + KNOWN_WITHIN_S
    while True:
        described: list[dict[str, Any]] = await admin.describe_topics(list(names))
        unknown = [
            topic["topic"]
            for topic in described
            if not topic["partitions"] or any(one["leader"] < 0 for one in topic["partitions"])
        ]
        if not unknown or loop.time() > until:
            return described
        await asyncio.sleep(0.1)


async def _describe(admin: AIOKafkaAdminClient, names: Sequence[str]) -> list[TopicState]:
    described = await _known(admin, names)
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

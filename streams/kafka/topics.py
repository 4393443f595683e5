"""The topics: their names and the size of their messages."""

from __future__ import annotations

from dataclasses import dataclass

from streams.config.kafka_settings import KafkaSettings

#: Room for the failure headers of an event that is already as large as its topic allows.
HEADER_ROOM = 64 * 1024


@dataclass(frozen=True)
class TopicNames:
    """The topic names on this cluster."""

    image_submitted: str
    scored_face: str
    simulated_fallback: str
    shadow_scored: str

    def all(self) -> tuple[str, ...]:
        """Return the topics that every worker needs, in the order in which an event passes them."""
        return (self.image_submitted, self.scored_face, self.simulated_fallback)


def topic_names(settings: KafkaSettings) -> TopicNames:
    """Return the topic names with ``KAFKA_TOPIC_PREFIX``."""
    prefix = settings.kafka_topic_prefix
    return TopicNames(
        image_submitted=f"{prefix}image-submitted",
        scored_face=f"{prefix}scored-face",
        simulated_fallback=f"{prefix}simulated-fallback",
        shadow_scored=f"{prefix}shadow-scored",
    )


def largest_dead_letter(settings: KafkaSettings) -> int:
    """Return the size of the largest dead letter, in bytes.

    Kafka applies a topic's limit to compressed batches, so an event may be larger than the limit.
    """
    return 2 * settings.kafka_max_message_bytes + HEADER_ROOM


def largest_message(settings: KafkaSettings, topic: str) -> int:
    """Return the size of the largest message that may be published to ``topic``, in bytes."""
    if topic == topic_names(settings).simulated_fallback:
        return largest_dead_letter(settings)
    return settings.kafka_max_message_bytes

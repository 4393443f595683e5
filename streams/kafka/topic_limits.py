"""What the topics that exist take: their ``max.message.bytes``, as the broker has them.

Topics of ours are made with room for the largest message. One that somebody else made has Kafka's
1 MiB, and a dead letter that does not fit keeps neither its value nor its headers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import structlog
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code

log = structlog.get_logger(__name__)

LIMIT = "max.message.bytes"
#: A broker that knows answers at once; a start must not hang on one that does not.
ANSWERS_WITHIN_S = 5.0


async def message_limits(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, int]:
    """Bytes of the largest message that each topic takes, without those that nobody tells.

    A cluster may keep its configuration to itself (ACL), and a broker may not know the question.
    Ask last: such a broker may close the connection over it.
    """
    try:
        async with asyncio.timeout(ANSWERS_WITHIN_S):
            # All of the configuration: Tansu closes the connection when it is asked for a part.
            answers = await admin.describe_configs(
                [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
            )
    except (KafkaError, OSError, TimeoutError) as error:
        reason = str(error) or type(error).__name__
        log.info("the broker does not tell what its topics take", reason=reason)
        return {}
    return dict(limits_in(resource for answer in answers for resource in answer.resources))


def limits_in(resources: Iterable[Sequence[Any]]) -> Iterator[tuple[str, int]]:
    """The topics and limits in the resources of a DescribeConfigs answer."""
    for code, message, _kind, name, entries, *_more in resources:
        if code:
            reason = message or for_code(code).__name__
            log.info("the broker does not tell what its topic takes", topic=name, reason=reason)
            continue
        for setting, value, *_rest in entries:
            if setting == LIMIT and value is not None and value.isdecimal():
                yield name, int(value)

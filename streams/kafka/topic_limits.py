"""The ``max.message.bytes`` of existing topics.

facestream creates its topics with room for the largest message. A topic created otherwise may have
Kafka's default of 1 MiB, and a dead letter that does not fit loses its value and its headers.
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
#: A start must not hang on a broker that does not answer this request.
TIMEOUT_S = 5.0


async def message_limits(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, int]:
    """Return the limit of each topic in bytes, without those that the broker does not report.

    An ACL may forbid the request, and a broker may not implement it. Send it last: such a broker
    may close the connection.
    """
    try:
        async with asyncio.timeout(TIMEOUT_S):
            # All entries: the embedded broker closes the connection when asked for some of them.
            answers = await admin.describe_configs(
                [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
            )
    except (KafkaError, OSError, TimeoutError) as error:
        reason = str(error) or type(error).__name__
        log.info("the broker does not report the limits of its topics", reason=reason)
        return {}
    return dict(limits_in(resource for answer in answers for resource in answer.resources))


def limits_in(resources: Iterable[Sequence[Any]]) -> Iterator[tuple[str, int]]:
    """Yield topic and limit from the resources of a DescribeConfigs response."""
    for code, message, _kind, name, entries, *_more in resources:
        if code:
            reason = message or for_code(code).__name__
            log.info("the broker does not report the limit of a topic", topic=name, reason=reason)
            continue
        for setting, value, *_rest in entries:
            if setting == LIMIT and value is not None and value.isdecimal():
                yield name, int(value)

"""Requests to a cluster that only these tests make."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType


@asynccontextmanager
async def admin_client(options: Mapping[str, Any]) -> AsyncIterator[AIOKafkaAdminClient]:
    """Yield an admin client."""
    admin = AIOKafkaAdminClient(**options)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def topic_config(options: Mapping[str, Any], topic: str, name: str) -> str:
    """Return one value of a topic's configuration."""
    # The broker that answers may learn of a new topic with a delay.
    async with admin_client(options) as admin, asyncio.timeout(10):
        while True:
            resource = ConfigResource(ConfigResourceType.TOPIC, topic)
            answers = await admin.describe_configs([resource])
            for entry in answers[0].resources[0][4]:
                if entry[0] == name:
                    return str(entry[1])
            await asyncio.sleep(0.1)


async def change_topic(options: Mapping[str, Any], topic: str, values: Mapping[str, str]) -> None:
    """Replace a topic's configuration by these values."""
    async with admin_client(options) as admin:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, dict(values))])

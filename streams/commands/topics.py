"""``facestream topics``: create missing topics and show all of them."""

from __future__ import annotations

import dataclasses
import json

from faust.cli.base import option
from rich.table import Table

from streams.commands.base import FacestreamCommand
from streams.kafka.connection import BrokerUnavailable, wait_for_broker
from streams.kafka.topic_creation import ensure_topics, too_small
from streams.kafka.topics import largest_message

BROKER_TIMEOUT_S = 3.0


class Topics(FacestreamCommand):
    """Create missing topics, and show all of them."""

    options = [option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")]

    async def main(self, *, as_json: bool, **_: object) -> int:
        """Print one row per topic."""
        if not await wait_for_broker(self.settings, lambda: False, BROKER_TIMEOUT_S):
            raise BrokerUnavailable(
                self.settings, TimeoutError(f"no answer in {BROKER_TIMEOUT_S:.0f} s")
            )
        # The command was asked for, so KAFKA_CREATE_TOPICS, which is for workers, does not apply.
        topics = await ensure_topics(self.settings, create=True)
        if as_json:
            for topic in topics:
                print(json.dumps(dataclasses.asdict(topic)))
            return 0
        table = Table("topic", "partitions", "replication", "max.message.bytes")
        for topic in topics:
            limit = "?" if topic.max_message_bytes is None else str(topic.max_message_bytes)
            table.add_row(topic.name, str(topic.partitions), str(topic.replication), limit)
        self.console.print(table)
        for topic in too_small(topics, self.settings):
            self.notes.print(
                f"{topic.name}: max.message.bytes={topic.max_message_bytes} is less than "
                f"{largest_message(self.settings, topic.name)}, which a message may have (see "
                "KAFKA_MAX_MESSAGE_BYTES); an existing topic is not changed",
                markup=False,
            )
        return 0

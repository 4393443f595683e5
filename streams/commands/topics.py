"""``facestream topics``: create what is missing and show what there is."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from faust.cli.base import option
from rich.table import Table

from streams.commands.base import FacestreamCommand
from streams.kafka.connection import BrokerUnavailable, wait_for_broker
from streams.kafka.topics import ensure_topics, largest_message, too_small

PATIENCE_S = 3.0


class Topics(FacestreamCommand):
    """Create the topics that are missing, and show all of them."""

    options = [option("--json", "as_json", is_flag=True, help="One JSON object a line.")]

    async def main(self, *, as_json: bool, **_: Any) -> int:
        """Print one row a topic."""
        if not await wait_for_broker(self.settings, lambda: False, PATIENCE_S):
            raise BrokerUnavailable(self.settings, TimeoutError(f"no answer in {PATIENCE_S:.0f} s"))
        # Asked for by name, so it may create them whatever KAFKA_CREATE_TOPICS lets a worker do.
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
                f"{topic.name}: max.message.bytes={topic.max_message_bytes} is less than the "
                f"{largest_message(self.settings, topic.name)} that we may send (see "
                "KAFKA_MAX_MESSAGE_BYTES); it exists, so it is left as it is",
                markup=False,
            )
        return 0

"""``facestream redrive``: process the dead letters of one reason again."""

from __future__ import annotations

import click
from aiokafka import ConsumerRecord
from faust.cli.base import option

from schemas.fallback import FallbackReason
from streams.commands.base import FacestreamCommand
from streams.commands.redrive_run import redrive


class Redrive(FacestreamCommand):
    """Send dead letters of one reason back to the topic they came from, each once."""

    options = [
        option(
            "--reason",
            required=True,
            type=click.Choice([reason.value for reason in FallbackReason]),
            help="The fallback_reason of the dead letters.",
        ),
        option(
            "--dry-run", is_flag=True, help="Count the dead letters; send nothing, commit nothing."
        ),
    ]

    async def main(self, *, reason: str, dry_run: bool, **_: object) -> int:
        """Print the counts; return 1 when a dead letter could not be sent."""
        done = await redrive(
            self.settings, FallbackReason(reason), dry_run=dry_run, on_refused=self._refused
        )
        if done.foreign:
            self.notes.print(f"{done.foreign} records are not dead letters of facestream: skipped")
        if done.empty:
            self.notes.print(
                f"{done.empty} dead letters hold no event: skipped (see source_partition and "
                "source_offset in their headers)"
            )
        sent = "would_send" if dry_run else "sent"
        print(f"redrive: read={done.read} {sent}={done.sent} reason={reason}")
        return 1 if done.refused else 0

    def _refused(self, record: ConsumerRecord) -> None:
        self.notes.print(
            f"facestream: the dead letter at partition {record.partition}, offset {record.offset} "
            "is too large for its source topic (max.message.bytes) and stays in the fallback topic",
            style="red",
            markup=False,
        )

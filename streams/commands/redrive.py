"""``facestream redrive``: send dead letters of one reason through again."""

from __future__ import annotations

from typing import Any

import click
from aiokafka import ConsumerRecord
from faust.cli.base import option

from schemas.fallback import FallbackReason
from streams.commands.base import FacestreamCommand
from streams.commands.redrive_run import redrive


class Redrive(FacestreamCommand):
    """Produce dead letters of one reason back to the topic they came from, each once."""

    options = [
        option(
            "--reason",
            required=True,
            type=click.Choice([reason.value for reason in FallbackReason]),
            help="fallback_reason of the letters.",
        ),
        option("--dry-run", is_flag=True, help="Count them; send nothing, remember nothing."),
    ]

    async def main(self, *, reason: str, dry_run: bool, **_: Any) -> int:
        """Print what was done; 1 when a letter could not be sent."""
        done = await redrive(
            self.settings, FallbackReason(reason), dry_run=dry_run, on_refused=self._refused
        )
        if done.foreign:
            self.notes.print(f"{done.foreign} records are no dead letters of ours: passed over")
        if done.empty:
            self.notes.print(f"{done.empty} letters hold no event (it lies at its source, if any)")
        sent = "would_send" if dry_run else "sent"
        print(f"redrive: read={done.read} {sent}={done.sent} reason={reason}")
        return 1 if done.refused else 0

    def _refused(self, record: ConsumerRecord) -> None:
        self.notes.print(
            f"facestream: the letter at partition {record.partition}, offset {record.offset} is "
            "too large for its topic (max.message.bytes) and stays in the fallback topic",
            style="red",
            markup=False,
        )

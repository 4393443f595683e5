"""``facestream index alias``: show or move the alias of the vector index."""

from __future__ import annotations

import dataclasses
import json

import click
from faust.cli.base import argument, option
from rich.table import Table

from streams.commands.base import FacestreamCommand
from streams.commands.model_inventory import models_in_use
from streams.index.administration import AliasReport, move_alias, report_alias
from streams.index.alias import MOVE_COMMAND
from streams.index.index_config import index_config
from streams.index.model_contract import contract_of


class Index(FacestreamCommand):
    """Show where the alias of the vector index points, or move it.

    An embedded index can be opened only while no worker uses it.
    """

    options = [
        argument("action", type=click.Choice(["alias"])),
        option(
            "--move",
            is_flag=True,
            help="Point the alias to the collection of the models in the settings.",
        ),
        option("--json", "as_json", is_flag=True, help="Print the report as one JSON object."),
    ]

    async def main(self, *, move: bool, as_json: bool, **_: object) -> int:
        """Print where the alias points, and all collections."""
        detector, embedder, *_quality = models_in_use(self.settings)
        config = index_config(self.settings, contract_of(detector, embedder))
        report = await (move_alias if move else report_alias)(config)
        if as_json:
            print(json.dumps(dataclasses.asdict(report)))
        else:
            self.console.print(_table(report))
            self.notes.print(_summary(report), markup=False)
        return 0


def _table(report: AliasReport) -> Table:
    """Return a table with one row per collection."""
    table = Table("collection", "faces", "alias", "models in the settings")
    for collection in report.collections:
        table.add_row(
            collection.name,
            str(collection.points),
            report.alias if collection.name == report.points_to else "",
            "yes" if collection.name == report.expected else "",
        )
    return table


def _summary(report: AliasReport) -> str:
    """Say where the alias points, and how to move it to the collection of the settings."""
    if report.points_to is None:
        return f"there is no alias {report.alias}; a worker creates it when it opens the index"
    pointing = f"the alias {report.alias} points to {report.points_to}"
    if report.points_to == report.expected:
        return pointing
    if report.expected not in [collection.name for collection in report.collections]:
        return f"{pointing}; {report.expected}, for the models in the settings, does not exist"
    return f"{pointing}; `{MOVE_COMMAND}` points it to {report.expected}"

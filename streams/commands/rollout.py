"""``facestream rollout report``: compare real and simulated scores."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from pathlib import Path

import click
from faust.cli.base import argument, option
from rich.table import Table

from schemas.codec import decode_scored_face, decode_shadow_scored
from schemas.errors import InvalidEvent
from streams.commands.base import FacestreamCommand
from streams.commands.rollout_plot import plot
from streams.commands.rollout_report import Evidence, RolloutReport
from streams.kafka.topic_creation import existing_topics
from streams.kafka.topic_reader import TopicReader
from streams.kafka.topics import topic_names


class Rollout(FacestreamCommand):
    """Report how real and simulated scores differ, from the events in the topics."""

    options = [
        argument("action", type=click.Choice(["report"])),
        option("--json", "as_json", is_flag=True, help="Print the report as one JSON object."),
        option(
            "--plot",
            "plot_file",
            type=click.Path(dir_okay=False),
            help="Write a plot to a .png, .svg or .pdf file. Needs the extra `bench`.",
        ),
    ]

    async def main(self, *, action: str, as_json: bool, plot_file: str | None, **_: object) -> int:
        """Read both topics to their ends and print the report."""
        evidence = await self._evidence()
        report = evidence.report()
        if as_json:
            print(json.dumps(dataclasses.asdict(report), indent=2))
        else:
            self._print(report)
        if plot_file:
            plot(evidence, Path(plot_file))
            self.notes.print(f"plot written to {plot_file}", markup=False)
        return 0

    async def _evidence(self) -> Evidence:
        names = topic_names(self.settings)
        wanted = {names.scored_face, names.shadow_scored}
        topics = wanted & await existing_topics(self.settings)
        evidence = Evidence()
        if not topics:
            return evidence
        async with TopicReader(self.settings, *sorted(topics)) as reader:
            async for record in reader.records(follow=False):
                # Records that are not events of facestream are skipped.
                with contextlib.suppress(InvalidEvent):
                    if record.topic == names.scored_face:
                        evidence.add_face(decode_scored_face(record.value))
                    else:
                        evidence.add_shadow(decode_shadow_scored(record.value))
        return evidence

    def _print(self, report: RolloutReport) -> None:
        self.console.print(
            f"{report.real_faces} faces scored for real, "
            f"{report.simulated_answers} answers simulated{_reasons(report.simulated_by_reason)}"
        )
        refused = sum(report.shadows_refused_by_reason.values())
        self.console.print(
            f"{report.shadows} shadow-scored events; the real models would have refused "
            f"{refused}{_reasons(report.shadows_refused_by_reason)}"
        )
        self.console.print(_spreads(report))
        self.console.print(_differences(report))
        for kind, spread in (
            ("real", report.real_milliseconds),
            ("shadow", report.shadow_milliseconds),
        ):
            if spread.count:
                self.console.print(
                    f"milliseconds per {kind} scoring: median {spread.median:.0f}, "
                    f"p90 {spread.p90:.0f}"
                )


def _spreads(report: RolloutReport) -> Table:
    table = _table("score", "of", "count", "mean", "p10", "median", "p90", text_columns=2)
    for name, score in report.scores.items():
        rows = {"real": score.real, "real, shadow": score.shadow, "simulated": score.simulated}
        for kind, spread in rows.items():
            figures = (spread.mean, spread.p10, spread.median, spread.p90)
            table.add_row(name, kind, str(spread.count), *map(_figure, figures))
        table.add_section()
    return table


def _differences(report: RolloutReport) -> Table:
    table = _table(
        "score", "pairs", "mean", "mean absolute", "p90 absolute", title="simulated minus shadow"
    )
    for name, score in report.scores.items():
        one = score.simulated_minus_shadow
        figures = (one.mean, one.mean_absolute, one.p90_absolute)
        table.add_row(name, str(one.pairs), *map(_figure, figures))
    return table


def _table(*columns: str, text_columns: int = 1, title: str | None = None) -> Table:
    table = Table(*columns[:text_columns], title=title, title_justify="left")
    for name in columns[text_columns:]:
        table.add_column(name, justify="right")
    return table


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _reasons(reasons: dict[str, int]) -> str:
    listed = ", ".join(f"{reason} {count}" for reason, count in reasons.items())
    return f" ({listed})" if listed else ""

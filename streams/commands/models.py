"""``facestream models``: which weights there are, whether they are sound, and how to get more."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from faust.cli.base import argument
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from models.check import CheckedModel, check_model
from models.errors import MissingWeights, ModelsError
from models.manifest import ModelDescription, chosen, describe, known_models
from models.preparation import prepared_graph
from models.weights import find_weights
from streams.commands.base import FacestreamCommand
from streams.errors import StreamsError
from streams.inference import load_models
from streams.model_fetching import fetch

ACTIONS = ("list", "fetch", "check", "prepare")


class Models(FacestreamCommand):
    """List the known models, fetch one by NAME, check or prepare one (or those in use)."""

    options = [argument("action", default="list"), argument("name", default=None, required=False)]

    async def main(self, *, action: str, name: str | None, **_: Any) -> int:
        """``list``, ``fetch NAME``, ``check [NAME]`` or ``prepare [NAME]``."""
        if action not in ACTIONS:
            raise StreamsError(f"models {action}: expected one of {', '.join(ACTIONS)}")
        if action == "fetch" and name is None:
            raise StreamsError("models fetch: which one? `facestream models list` shows them")
        if action == "list":
            return self._list()
        # Hashing, loading and downloading block for long.
        return await asyncio.to_thread(getattr(self, f"_{action}"), name)

    def _list(self) -> int:
        in_use = {model.name for model in self._in_use()}
        table = Table(
            "name", "task", "size", "dim.", "licence", "commercial", "measured", "in use", "weights"
        )
        for model in known_models(self.settings.model_path):
            table.add_row(
                model.name,
                model.task,
                f"{model.bytes / 1e6:.1f} MB",
                str(model.dimension or "-"),
                model.licence,
                "yes" if model.commercial_use else "[red]no[/]",
                model.measured or "-",
                "yes" if model.name in in_use else "",
                self._where(model),
            )
        self.console.print(table)
        return 0

    def _in_use(self) -> list[ModelDescription]:
        settings = self.settings
        return [
            chosen(settings.face_detector, "detect", settings.model_path),
            chosen(settings.face_embedder, "embed", settings.model_path),
        ]

    def _where(self, model: ModelDescription) -> str:
        try:
            return "present in " + str(self._find(model).parent)
        except MissingWeights:
            return "[dim]to be fetched[/]"
        except ModelsError as error:
            return f"[red]{type(error).__name__}[/]"

    def _find(self, model: ModelDescription) -> Path:
        return find_weights(model, self.settings.model_path, self.settings.model_cache)

    def _fetch(self, name: str) -> int:
        model = describe(name, model_path=self.settings.model_path)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.notes) as progress:
            task = progress.add_task(f"fetching {name}", total=None)
            path = fetch(
                model,
                self.settings.model_cache,
                accepted_licences=self.settings.accept_model_licence,
                report=lambda done, total: progress.update(task, completed=done, total=total),
            )
        self.console.print(f"{name}: sha256 {model.sha256} ok, {path}", soft_wrap=True)
        return 0

    def _prepare(self, name: str | None) -> int:
        for model in self._named_or_in_use(name):
            graph = prepared_graph(model, self._find(model), self.settings.model_cache)
            word = "prepared" if isinstance(graph, bytes) else "had been prepared"
            self.console.print(f"{model.name}: {word}, {self.settings.model_cache}", soft_wrap=True)
        return 0

    def _check(self, name: str | None) -> int:
        """Hash, load and run; the error says what is wrong."""
        if name is not None:
            for model in self._named_or_in_use(name):
                self._print_checked(
                    check_model(model, self.settings.model_path, self.settings.model_cache)
                )
            return 0
        started = time.perf_counter()
        pipeline = load_models(self.settings)
        pipeline.warm_up()
        spent = (time.perf_counter() - started) * 1000
        for part in (pipeline.detector, pipeline.embedder):
            self.console.print(f"{part.name}: sha256 {part.sha256} ok")
        self.console.print(
            f"models: ok, one real inference done, {pipeline.embedder.dimension} dimensions, "
            f"{spent:.0f} ms from files to answer"
        )
        return 0

    def _named_or_in_use(self, name: str | None) -> list[ModelDescription]:
        if name is None:
            return self._in_use()
        return [describe(name, model_path=self.settings.model_path)]

    def _print_checked(self, checked: CheckedModel) -> None:
        self.console.print(
            f"{checked.model.name}: sha256 ok, graph loads, {checked.answer}, "
            f"{checked.milliseconds:.0f} ms an inference",
            soft_wrap=True,
        )

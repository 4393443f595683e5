"""``facestream models``: list, fetch, check and prepare model weights."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from faust.cli.base import argument, option
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from models.check import CheckedModel, check_model
from models.errors import CorruptWeights, MissingWeights
from models.graphs.preparation import prepared_graph
from models.manifest import ModelDescription, check_licence, describe
from models.weights import find_weights
from streams.commands.base import FacestreamCommand
from streams.commands.model_inventory import ListedModel, list_models, models_in_use, unknown_name
from streams.commands.weight_fetching import fetch
from streams.config.settings import Settings
from streams.errors import StreamsError
from streams.inference.model_loading import load_models


class Models(FacestreamCommand):
    """List the known models; fetch a model by NAME; check or prepare it, or those in use."""

    options = [
        argument("action", default="list"),
        argument("name", default=None, required=False),
        option(
            "--json", "as_json", is_flag=True, help="With list: print one JSON object per line."
        ),
    ]

    async def main(self, *, action: str, name: str | None, as_json: bool, **_: object) -> int:
        """Run ``list``, ``fetch NAME``, ``check [NAME]`` or ``prepare [NAME]``."""
        actions: dict[str, Callable[[], int]] = {
            "list": lambda: self._list(as_json=as_json),
            "fetch": lambda: self._fetch(name),
            "check": lambda: self._check(name),
            "prepare": lambda: self._prepare(name),
        }
        if action not in actions:
            raise StreamsError(f"models {action}: expected one of {', '.join(actions)}")
        if as_json and action != "list":
            raise StreamsError(f"models {action}: --json is for list")
        # In a thread: hashing, loading and downloading take long.
        return await asyncio.to_thread(actions[action])

    def _list(self, *, as_json: bool) -> int:
        """Print the models; return 1 for a corrupt weight file or an unknown name in a setting."""
        listed = list_models(self.settings)
        if as_json:
            for one in listed:
                print(json.dumps(one.as_json()))
        else:
            self.console.print(_table(listed))
        corrupt = [one for one in listed if one.weights == "corrupt"]
        for one in corrupt:
            self.notes.print(f"facestream: {one.problem}", style="red", markup=False)
        unknown = unknown_name(self.settings)
        if unknown is not None:
            self.notes.print(f"facestream: {unknown}", style="red", markup=False)
        return 1 if corrupt or unknown is not None else 0

    def _find(self, model: ModelDescription) -> Path:
        return find_weights(model, self.settings.model_path, self.settings.model_cache)

    def _fetch(self, name: str | None) -> int:
        if name is None:
            raise StreamsError("models fetch: needs a NAME from `facestream models list`")
        model = describe(name, model_path=self.settings.model_path)
        check_licence(model, self.settings.accept_model_licence)
        with suppress(MissingWeights, CorruptWeights):
            # A corrupt file in the cache is fetched again.
            path = self._find(model)
            self.console.print(f"{name}: already present, sha256 ok, {path}", soft_wrap=True)
            return 0
        path = fetch_with_progress(model, self.settings, self.notes)
        self.console.print(f"{name}: sha256 {model.sha256} ok, {path}", soft_wrap=True)
        return 0

    def _prepare(self, name: str | None) -> int:
        for model in self._named_or_in_use(name):
            graph = prepared_graph(model, self._find(model), self.settings.model_cache)
            word = "prepared" if isinstance(graph, bytes) else "already prepared"
            self.console.print(f"{model.name}: {word}, {self.settings.model_cache}", soft_wrap=True)
        return 0

    def _check(self, name: str | None) -> int:
        """Hash the weights, load them, and run one inference."""
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
        for part in (pipeline.detector, pipeline.embedder, pipeline.assessor):
            if part is not None:
                self.console.print(f"{part.name}: sha256 {part.sha256} ok")
        self.console.print(
            f"models: ok, one real inference done, {pipeline.embedder.dimension} dimensions, "
            f"{spent:.0f} ms to load and run"
        )
        return 0

    def _named_or_in_use(self, name: str | None) -> list[ModelDescription]:
        if name is None:
            return models_in_use(self.settings)
        model = describe(name, model_path=self.settings.model_path)
        check_licence(model, self.settings.accept_model_licence)
        return [model]

    def _print_checked(self, checked: CheckedModel) -> None:
        self.console.print(
            f"{checked.model.name}: sha256 ok, graph loads, {checked.answer}, "
            f"{checked.milliseconds:.0f} ms per inference",
            soft_wrap=True,
        )


def fetch_with_progress(model: ModelDescription, settings: Settings, notes: Console) -> Path:
    """Return the verified weight file; draw the progress on ``notes``. Raises as ``fetch``."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=notes) as progress:
        task = progress.add_task(f"fetching {model.name}", total=None)
        return fetch(
            model,
            settings.model_cache,
            accepted_licences=settings.accept_model_licence,
            report=lambda done, total: progress.update(task, completed=done, total=total),
        )


def _table(listed: Sequence[ListedModel]) -> Table:
    table = Table("name", "task", "size", "dim.", "licence", "commercial")
    table.add_column("measured accuracy")
    table.add_column("in use")
    table.add_column("weights", overflow="fold")
    for one in listed:
        model = one.model
        table.add_row(
            model.name,
            model.task,
            f"{model.bytes / 1e6:.1f} MB",
            str(model.dimension or "-"),
            model.licence,
            "yes" if model.commercial_use else "[red]no[/]",
            model.measured or "[dim]not measured[/]",
            "yes" if one.in_use else "",
            _weights(one),
        )
    return table


def _weights(one: ListedModel) -> Text:
    if one.path is None:
        return Text("not fetched", style="dim")
    if one.weights == "corrupt":
        return Text(f"CORRUPT in {one.path.parent}", style="red")
    return Text(f"present in {one.path.parent}")

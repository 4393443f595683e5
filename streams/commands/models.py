"""``facestream models``: which weights there are, and whether they are sound."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from faust.cli.base import argument
from rich.table import Table

from models.errors import ModelsError
from models.weights import ModelDescription, find_weights, manifest
from streams.commands.base import FacestreamCommand
from streams.errors import StreamsError
from streams.inference import load_models


class Models(FacestreamCommand):
    """List the models of the manifest, or check that those in use load and work (check)."""

    options = [argument("action", default="list")]

    async def main(self, *, action: str, **_: Any) -> int:
        """``list`` or ``check``."""
        if action == "list":
            return self._list()
        if action == "check":
            return await asyncio.to_thread(self._check)
        raise StreamsError(f"models {action}: expected list or check")

    def _list(self) -> int:
        in_use = {self.settings.face_detector, self.settings.face_embedder}
        table = Table("name", "task", "dimension", "size", "licence", "in use", "weights")
        for model in manifest():
            table.add_row(
                model.name,
                model.task,
                str(model.dimension or "-"),
                f"{model.bytes / 1e6:.1f} MB",
                model.licence,
                "yes" if model.name in in_use else "",
                self._where(model),
            )
        self.console.print(table)
        return 0

    def _where(self, model: ModelDescription) -> str:
        try:
            return str(find_weights(model.name, self.settings.model_path))
        except ModelsError as error:
            return f"[red]{type(error).__name__}[/]"

    def _check(self) -> int:
        """Hash, load and run what the settings name; the error says what is wrong."""
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

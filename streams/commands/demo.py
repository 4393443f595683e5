"""``facestream demo``: broker, worker and index on real pictures, in half a minute."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from faust.cli.base import option

from streams.commands.base import FacestreamCommand
from streams.commands.demo_pictures import demo_pictures
from streams.commands.demo_results import DemoResult, draw_results, problems_of
from streams.commands.face_table import face_row, faces_table
from streams.commands.up import EMBEDDED_SETTINGS
from streams.config.settings import Settings, pinned_environment, pinned_settings
from streams.errors import StreamsError
from streams.kafka.submitter import Submitter
from streams.kafka.topic_creation import ensure_topics
from streams.kafka.topic_reader import TopicReader
from streams.kafka.topics import topic_names
from streams.local.embedded_broker import EmbeddedBroker, free_port
from streams.local.worker_process import WorkerProcess

if TYPE_CHECKING:
    from rich.progress import Progress

#: Time-out for all answers together, and for indexing all faces.
TIMEOUT_S = 60.0


class Demo(FacestreamCommand):
    """Score real pictures with a real broker, worker and index, and show the results."""

    options = [
        option(
            "--output",
            default="demo-output",
            help="Folder for the pictures with boxes and landmarks drawn on them.",
        )
    ]

    async def main(self, *, output: str, **_: object) -> int:
        """Run the demo; return 0 when every picture has the expected result."""
        # Imported when used: a worker imports every command, and would keep 1 MB for this one.
        from rich.progress import (  # noqa: PLC0415
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
        )

        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with (
            Progress(*columns, console=self.notes) as progress,
            tempfile.TemporaryDirectory(prefix="facestream-demo-") as folder,
        ):
            results = await self._run(Path(folder), progress)
        drawn = Path(output)
        draw_results(results, drawn)
        self._print_table(results)
        self.console.print(f"pictures with boxes and landmarks: {drawn.resolve()}")
        problems = problems_of(results)
        for problem in problems:
            self.notes.print(f"demo: {problem}", style="red", markup=False)
        self._print_counts(results)
        return 1 if problems else 0

    async def _run(self, folder: Path, progress: Progress) -> list[DemoResult]:
        step = progress.add_task("starting the embedded broker", total=None)
        with EmbeddedBroker(free_port(), log_file=folder / "broker.log") as broker:
            # The environment and its file hold settings for a service, which the demo ignores.
            settings = pinned_settings(kafka_bootstrap_servers=broker.address)
            await ensure_topics(settings)
            with _worker(folder, broker) as worker:
                progress.update(step, description="starting a faust worker, models and index")
                await asyncio.to_thread(worker.wait_ready)
                progress.update(step, description="publishing pictures")
                async with TopicReader(settings, topic_names(settings).scored_face) as reader:
                    results = await _submit(settings)
                    progress.update(step, description="waiting for the answers")
                    await _collect(reader, results)
                progress.update(step, description="waiting for the index")
                await _find_nearest(worker, results.values())
                progress.update(step, description="stopping the worker")
                status = await asyncio.to_thread(worker.stop)
                if status != 0:
                    raise StreamsError(f"the worker ended with status {status}, not 0")
        progress.update(step, description="done")
        return list(results.values())

    def _print_table(self, results: Sequence[DemoResult]) -> None:
        names = {
            str(face.face_id): one.picture.name for one in results for face in one.faces.values()
        }
        table = faces_table("picture", "nearest other face")
        for one in results:
            for number, face in sorted(one.faces.items()):
                near = one.nearest.get(number)
                nearest = (
                    f"{names.get(near['face_id'], '?')} {near['similarity']:.2f}" if near else "-"
                )
                table.add_row(*face_row(face, one.picture.name, nearest))
        self.console.print(table)

    def _print_counts(self, results: Sequence[DemoResult]) -> None:
        faces = [face for one in results for face in one.faces.values()]
        self.console.print(
            f"demo: submitted={len(results)} "
            f"scored={sum(face.provenance == 'real' for face in faces)} "
            f"simulated={sum(face.provenance == 'simulated' for face in faces)} "
            f"indexed={sum(len(one.nearest) for one in results)}"
        )


def _worker(folder: Path, broker: EmbeddedBroker) -> WorkerProcess:
    empty = folder / "empty.env"
    empty.touch()
    environment = pinned_environment(
        empty,
        KAFKA_BOOTSTRAP_SERVERS=broker.address,
        **{name.upper(): value for name, value in EMBEDDED_SETTINGS.items()},
        QDRANT_PATH=str(folder / "index"),
        LOG_FORMAT="json",
    )
    return WorkerProcess(environment, port=free_port(), log_file=folder / "worker.log")


async def _submit(settings: Settings) -> dict[UUID, DemoResult]:
    results: dict[UUID, DemoResult] = {}
    async with Submitter(settings) as submitter:
        for number, picture in enumerate(demo_pictures()):
            # JSON and binary mode in turn, so that the demo covers both.
            media_type = "image/jpeg" if number % 2 else None
            await submitter.submit(picture.event, media_type=media_type)
            results[picture.event.event_id] = DemoResult(picture)
    return results


async def _collect(reader: TopicReader, results: Mapping[UUID, DemoResult]) -> None:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            async for face in reader.scored_faces(follow=True):
                if face.event_id in results:
                    results[face.event_id].faces[face.face_index] = face
                if all(one.complete for one in results.values()):
                    return
    except TimeoutError:
        missing = [one.picture.name for one in results.values() if not one.complete]
        raise StreamsError(f"no answer in {TIMEOUT_S:.0f} s for {', '.join(missing)}") from None


async def _find_nearest(worker: WorkerProcess, results: Iterable[DemoResult]) -> None:
    """Wait until every real face is in the index, then find the nearest face to each."""
    real = [(one, face) for one in results for face in one.real_faces]
    try:
        async with asyncio.timeout(TIMEOUT_S):
            for _, face in real:
                page = f"/index/faces/{face.face_id}"
                while (await asyncio.to_thread(worker.get, page))[0] != 200:
                    await asyncio.sleep(0.05)
    except TimeoutError:
        raise StreamsError(f"not every face was in the index after {TIMEOUT_S:.0f} s") from None
    for one, face in real:
        _, found = await asyncio.to_thread(worker.get, f"/index/faces/{face.face_id}")
        if found["nearest"]:
            one.nearest[face.face_index] = found["nearest"][0]

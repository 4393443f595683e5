"""``facestream demo``: the whole stream on real pictures, in half a minute, from nothing."""

from __future__ import annotations

import asyncio
import io
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from faust.cli.base import option

from schemas.scored_face import ScoredFace
from streams.commands.base import FacestreamCommand
from streams.commands.demo_pictures import DemoPicture, demo_pictures
from streams.commands.face_table import face_row, faces_table
from streams.commands.up import EMBEDDED_SETTINGS
from streams.config.settings import pinned_environment, pinned_settings
from streams.errors import StreamsError
from streams.kafka.submitter import Submitter
from streams.kafka.topic_reader import TopicReader
from streams.kafka.topics import ensure_topics, topic_names
from streams.local.embedded_broker import EmbeddedBroker, free_port
from streams.local.worker_process import WorkerProcess

if TYPE_CHECKING:
    from rich.progress import Progress

# Drawing and progress bars are imported where they are used: a worker imports every command, and
# would keep 3 MB for them.
# ruff: noqa: PLC0415
DEADLINE_S = 60.0
BOX_COLOUR, POINT_COLOUR = (40, 220, 90), (255, 80, 60)


@dataclass
class _Answered:
    """A picture with the answers that came back for it."""

    picture: DemoPicture
    faces: dict[int, ScoredFace] = field(default_factory=dict)
    nearest: dict[int, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return bool(self.faces) and len(self.faces) == next(iter(self.faces.values())).face_count


class Demo(FacestreamCommand):
    """Score real pictures through a real broker, worker and index, and show what came back."""

    options = [
        option(
            "--output",
            default="demo-output",
            help="Folder for the pictures with boxes and landmarks drawn on them.",
        )
    ]

    async def main(self, *, output: str, **_: Any) -> int:
        """Status 0 when every picture came back as it should."""
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with (
            Progress(*columns, console=self.notes) as progress,
            tempfile.TemporaryDirectory(prefix="facestream-demo-") as folder,
        ):
            answered = await self._run(Path(folder), progress)
        folder_out = Path(output)
        _draw_all(answered, folder_out)
        self._show(answered)
        self.console.print(f"pictures with boxes and landmarks: {folder_out.resolve()}")
        problems = _problems(answered)
        for problem in problems:
            self.notes.print(f"demo: {problem}", style="red", markup=False)
        faces = [face for one in answered for face in one.faces.values()]
        self.console.print(
            f"demo: submitted={len(answered)} "
            f"scored={sum(face.provenance == 'real' for face in faces)} "
            f"simulated={sum(face.provenance == 'simulated' for face in faces)} "
            f"indexed={sum(len(one.nearest) for one in answered)}"
        )
        return 1 if problems else 0

    async def _run(self, folder: Path, progress: Progress) -> list[_Answered]:
        step = progress.add_task("starting the embedded broker", total=None)
        with EmbeddedBroker(free_port(), log_file=folder / "broker.log") as broker:
            # Whatever the environment says is meant for a service, not for the demo.
            settings = pinned_settings(kafka_bootstrap_servers=broker.address)
            await ensure_topics(settings)
            nothing = folder / "empty.env"
            nothing.touch()
            environment = pinned_environment(
                nothing,
                KAFKA_BOOTSTRAP_SERVERS=broker.address,
                **{name.upper(): value for name, value in EMBEDDED_SETTINGS.items()},
                QDRANT_PATH=str(folder / "index"),
                LOG_FORMAT="json",
            )
            log_file = folder / "worker.log"
            worker = WorkerProcess(environment, port=free_port(), log_file=log_file)
            with worker:
                progress.update(step, description="starting a faust worker, models and index")
                await asyncio.to_thread(worker.wait_ready)
                progress.update(step, description="publishing pictures")
                async with TopicReader(settings, topic_names(settings).scored_face) as reader:
                    answers = await self._submit(settings)
                    progress.update(step, description="waiting for the answers")
                    await _collect(reader, answers)
                progress.update(step, description="waiting for the index")
                await _find_nearest(worker, list(answers.values()))
                progress.update(step, description="stopping the worker, which drains first")
                status = await asyncio.to_thread(worker.stop)
                if status != 0:
                    raise StreamsError(f"the worker ended with status {status}, not 0")
        progress.update(step, description="done")
        return list(answers.values())

    async def _submit(self, settings: Any) -> dict[UUID, _Answered]:
        answers: dict[UUID, _Answered] = {}
        async with Submitter(settings) as submitter:
            for number, picture in enumerate(demo_pictures()):
                # Every other one in binary mode: both ways of publishing are in use.
                media_type = "image/jpeg" if number % 2 else None
                await submitter.submit(picture.event, media_type=media_type)
                answers[picture.event.event_id] = _Answered(picture)
        return answers

    def _show(self, answered: Sequence[_Answered]) -> None:
        owner = {
            str(face.face_id): one.picture.name for one in answered for face in one.faces.values()
        }
        table = faces_table("picture", "nearest other face")
        for one in answered:
            for number, face in sorted(one.faces.items()):
                near = one.nearest.get(number)
                nearest = (
                    f"{owner.get(near['face_id'], '?')} {near['similarity']:.2f}" if near else "-"
                )
                table.add_row(*face_row(face, one.picture.name, nearest))
        self.console.print(table)


async def _collect(reader: TopicReader, answers: Mapping[UUID, _Answered]) -> None:
    try:
        async with asyncio.timeout(DEADLINE_S):
            async for face in reader.scored_faces(follow=True):
                if face.event_id in answers:
                    answers[face.event_id].faces[face.face_index] = face
                if all(one.complete for one in answers.values()):
                    return
    except TimeoutError:
        missing = [one.picture.name for one in answers.values() if not one.complete]
        raise StreamsError(f"no answer in {DEADLINE_S:.0f} s for {', '.join(missing)}") from None


async def _find_nearest(worker: WorkerProcess, answered: Sequence[_Answered]) -> None:
    """Wait until each real face is in the index, then ask for its nearest face elsewhere."""
    real = [
        (one, number, face)
        for one in answered
        for number, face in one.faces.items()
        if face.provenance == "real"
    ]
    try:
        async with asyncio.timeout(DEADLINE_S):
            for _, _, face in real:
                while (await asyncio.to_thread(worker.get, f"/index/faces/{face.face_id}"))[
                    0
                ] != 200:
                    await asyncio.sleep(0.05)
    except TimeoutError:
        raise StreamsError(f"not every face was in the index after {DEADLINE_S:.0f} s") from None
    for one, number, face in real:
        _, found = await asyncio.to_thread(worker.get, f"/index/faces/{face.face_id}")
        if found["nearest"]:
            one.nearest[number] = found["nearest"][0]


def _problems(answered: Sequence[_Answered]) -> list[str]:
    """What did not come out as it should."""
    people = {}
    for one in answered:
        # In the picture of both, the left face is the first person.
        by_place = sorted(
            one.faces.values(), key=lambda f: f.bounding_box.x if f.bounding_box else 0
        )
        for face, person in zip(by_place, one.picture.people, strict=False):
            people[str(face.face_id)] = person
    problems = []
    for one in answered:
        name, expected = one.picture.name, len(one.picture.people)
        real = [face for face in one.faces.values() if face.provenance == "real"]
        if len(real) != expected:
            problems.append(f"{name}: expected {expected} scored faces, found {len(real)}")
        reasons = {str(face.fallback_reason) for face in one.faces.values() if not face.model}
        if one.picture.reason is not None and reasons != {one.picture.reason}:
            problems.append(f"{name}: expected {one.picture.reason}, found {reasons or 'a score'}")
        for number, face in one.faces.items():
            near = one.nearest.get(number)
            if face.provenance == "real" and (
                near is None or people.get(near["face_id"]) != people.get(str(face.face_id))
            ):
                problems.append(f"{name}: the nearest face is not of the same person")
    return problems


def _draw_all(answered: Sequence[_Answered], folder: Path) -> None:
    from PIL import Image, ImageDraw, ImageOps

    folder.mkdir(parents=True, exist_ok=True)
    for one in answered:
        real = [face for face in one.faces.values() if face.bounding_box and face.landmarks]
        if not real:
            continue
        picture = ImageOps.exif_transpose(Image.open(io.BytesIO(one.picture.image))).convert("RGB")
        draw = ImageDraw.Draw(picture)
        pen = max(2, picture.width // 200)
        for face in real:
            box, points = face.bounding_box, face.landmarks
            assert box is not None
            assert points is not None
            corners = [box.x, box.y, box.x + box.width, box.y + box.height]
            draw.rectangle(corners, outline=BOX_COLOUR, width=pen)
            for x, y in (
                points.left_eye, points.right_eye, points.nose, points.mouth_left,
                points.mouth_right,
            ):  # fmt: skip
                draw.ellipse([x - pen, y - pen, x + pen, y + pen], fill=POINT_COLOUR)
        picture.save(folder / f"{one.picture.name}.jpg", quality=90)

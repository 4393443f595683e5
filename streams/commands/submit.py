"""``facestream submit``: publish pictures as image-submitted events."""

from __future__ import annotations

import asyncio
import mimetypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from faust.cli.base import argument, option
from pydantic import ValidationError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from schemas.codec import encode_scored_face
from schemas.errors import InvalidEvent, problems_of
from schemas.image_submitted import ImageSubmitted
from schemas.scored_face import ScoredFace
from streams.client import Submitter, TopicReader
from streams.commands.base import FacestreamCommand
from streams.commands.tables import face_row, faces_table
from streams.errors import StreamsError
from streams.topics import topic_names

PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}


class Submit(FacestreamCommand):
    """Publish pictures (files, folders, or URIs as claim checks) as image-submitted events."""

    options = [
        argument("pictures", nargs=-1, required=True),
        option("--user-id", default=None, help="user_id of all events (default: the file's name)."),
        option("--binary", is_flag=True, help="Send the bytes themselves, not JSON with base64."),
        option("--max-faces", type=int, default=1, help="Most faces to score in a picture."),
        option("--min-confidence", type=float, default=None, help="Least detection confidence."),
        option("--wait", is_flag=True, help="Wait for the answers and print them."),
        option("--timeout", type=float, default=60.0, help="Seconds that --wait waits."),
        option("--json", "as_json", is_flag=True, help="Print answers as JSON, one a line."),
    ]

    async def main(
        self,
        *,
        pictures: Sequence[str],
        user_id: str | None,
        binary: bool,
        max_faces: int,
        min_confidence: float | None,
        wait: bool,
        timeout: float,  # noqa: ASYNC109 - an option of the command, applied once below
        as_json: bool,
        **_: Any,
    ) -> int:
        """Publish all, then wait where asked to."""
        fields: dict[str, Any] = {"max_faces": max_faces}
        if min_confidence is not None:
            fields["min_confidence"] = min_confidence
        events = [one for picture in pictures for one in _events(picture, user_id, fields)]
        event_ids = [event.event_id for event, _media_type in events]
        if not wait:
            await self._publish(events, binary=binary)
            for event, _media_type in events:
                self.console.print(f"{event.event_id} {event.user_id}", markup=False)
            return 0
        topic = topic_names(self.settings).scored_face
        async with TopicReader(self.settings, topic, from_beginning=False) as reader:
            await self._publish(events, binary=binary)
            answers: list[ScoredFace] = []
            try:
                async with asyncio.timeout(timeout):
                    await self._collect(reader, set(event_ids), answers)
            except TimeoutError:
                self._show(answers, as_json=as_json)
                answered = {face.event_id for face in answers}
                missing = [str(one) for one in event_ids if one not in answered]
                raise StreamsError(
                    f"no answer in {timeout:.0f} s for {len(missing)} of {len(event_ids)} events "
                    f"(is a worker running?): {', '.join(missing[:5])}"
                ) from None
        self._show(answers, as_json=as_json)
        return 0

    async def _publish(self, events: Sequence[tuple[ImageSubmitted, str]], *, binary: bool) -> None:
        async with Submitter(self.settings) as submitter:
            with self._progress() as progress:
                for event, media_type in progress.track(events, description="submitting"):
                    in_binary = binary and event.image is not None
                    await submitter.submit(event, media_type=media_type if in_binary else None)

    async def _collect(
        self, reader: TopicReader, event_ids: set[UUID], answers: list[ScoredFace]
    ) -> None:
        """Read until every event has all of its faces."""
        seen: dict[UUID, set[int]] = {}
        open_events = set(event_ids)
        with self._progress() as progress:
            bar = progress.add_task("waiting for answers", total=len(event_ids))
            async for face in reader.scored_faces(follow=True):
                if face.event_id not in event_ids:
                    continue
                faces = seen.setdefault(face.event_id, set())
                if face.face_index not in faces:
                    faces.add(face.face_index)
                    answers.append(face)
                if len(faces) >= face.face_count and face.event_id in open_events:
                    open_events.discard(face.event_id)
                    progress.advance(bar)
                if not open_events:
                    return

    def _progress(self) -> Progress:
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self.notes,
            transient=True,
        )

    def _show(self, answers: Sequence[ScoredFace], *, as_json: bool) -> None:
        if as_json:
            for face in answers:
                print(encode_scored_face(face).decode())
            return
        table = faces_table()
        for face in answers:
            table.add_row(*face_row(face))
        self.console.print(table)


def _events(
    picture: str, user_id: str | None, options: dict[str, Any]
) -> list[tuple[ImageSubmitted, str]]:
    """What one argument stands for: a URI, a file, or the pictures of a folder; with media types.

    Raises ``StreamsError`` for what cannot be an event.
    """
    if "://" in picture:
        name = picture.rstrip("/").rpartition("/")[2] or picture
        return [(_event(picture, user_id or Path(name).stem, options, image_uri=picture), "")]
    path = Path(picture)
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES)
        if not files:
            raise StreamsError(f"{picture}: no pictures in this folder")
    elif path.is_file():
        files = [path]
    else:
        raise StreamsError(f"{picture}: no such file")
    return [
        (
            _event(str(file), user_id or file.stem, options, image=file.read_bytes()),
            mimetypes.guess_type(file.name)[0] or "image/jpeg",
        )
        for file in files
    ]


def _event(source: str, user_id: str, options: dict[str, Any], **picture: Any) -> ImageSubmitted:
    try:
        return ImageSubmitted(event_id=uuid4(), user_id=user_id, **options, **picture)
    except ValidationError as error:
        raise StreamsError(f"{source}: {InvalidEvent(problems_of(error))}") from None

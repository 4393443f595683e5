"""``facestream submit``: publish pictures as image-submitted events."""

from __future__ import annotations

import asyncio
import mimetypes
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
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
from streams.commands.base import FacestreamCommand
from streams.commands.face_table import face_row, faces_table
from streams.errors import StreamsError
from streams.kafka.submitter import Submitter
from streams.kafka.topic_reader import TopicReader
from streams.kafka.topics import topic_names

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
        option(
            "--require-real",
            is_flag=True,
            help="With --wait: exit with 1 when an answer is simulated. Without, 0 says that every "
            "event was answered, in whichever way.",
        ),
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
        require_real: bool,
        **_: Any,
    ) -> int:
        """Publish all, then wait where asked to."""
        if require_real and not wait:
            raise StreamsError("--require-real looks at the answers: it needs --wait")
        fields: dict[str, Any] = {"max_faces": max_faces}
        if min_confidence is not None:
            fields["min_confidence"] = min_confidence
        submissions = [
            one for picture in pictures for one in _submissions(picture, user_id, fields)
        ]
        if not wait:
            await self._publish(submissions, binary=binary, on_published=self._print_id)
            return 0
        answers = _Answers(submissions)
        topic = topic_names(self.settings).scored_face
        async with TopicReader(self.settings, topic, from_beginning=False) as reader:
            await self._publish(submissions, binary=binary)
            try:
                async with asyncio.timeout(timeout):
                    await self._collect(reader, answers, as_json=as_json)
            except TimeoutError:
                raise StreamsError(
                    f"no answer in {timeout:.0f} s for {len(answers.open)} of {len(submissions)} "
                    f"events (is a worker running?): {', '.join(map(str, answers.open[:5]))}"
                ) from None
            finally:
                if not as_json:
                    self.console.print(answers.table)
        if require_real and answers.simulated:
            raise StreamsError(f"{answers.simulated} of {len(submissions)} answers are simulated")
        return 0

    async def _publish(
        self,
        submissions: Sequence[_Submission],
        *,
        binary: bool,
        on_published: Callable[[_Submission], None] = lambda _: None,
    ) -> None:
        """One picture after the other: a folder may hold more than the memory does."""
        async with Submitter(self.settings) as submitter:
            with self._progress() as progress:
                for one in progress.track(submissions, description="submitting"):
                    media_type = one.media_type if binary else None
                    await submitter.submit(one.event(), media_type=media_type)
                    on_published(one)

    def _print_id(self, submission: _Submission) -> None:
        self.console.print(f"{submission.event_id} {submission.user_id}", markup=False)

    async def _collect(self, reader: TopicReader, answers: _Answers, *, as_json: bool) -> None:
        """Read until every event has all of its faces."""
        with self._progress() as progress:
            bar = progress.add_task("waiting for answers", total=len(answers.open))
            async for face in reader.scored_faces(follow=True):
                if answers.add(face):
                    if as_json:
                        print(encode_scored_face(face).decode(), flush=True)
                    progress.update(bar, completed=answers.complete)
                if not answers.open:
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


@dataclass(frozen=True)
class _Submission:
    """One picture that is to be published; read when its turn comes."""

    source: str
    user_id: str
    fields: dict[str, Any]
    file: Path | None
    event_id: UUID = field(default_factory=uuid4)

    @property
    def media_type(self) -> str | None:
        """Of the picture's bytes; None where the event names a place instead."""
        if self.file is None:
            return None
        return mimetypes.guess_type(self.file.name)[0] or "image/jpeg"

    def event(self) -> ImageSubmitted:
        """The event, with the picture's bytes. Raises ``StreamsError``."""
        if self.file is None:
            return self._event(image_uri=self.source)
        try:
            image = self.file.read_bytes()
        except OSError as error:
            raise StreamsError(f"{self.source}: {error.strerror}") from None
        return self._event(image=image)

    def check(self) -> None:
        """Raise ``StreamsError`` for all that can be seen to be wrong without reading a picture."""
        self._event(image_uri=self.source)
        if self.file is not None and not self.file.stat().st_size:
            raise StreamsError(f"{self.source}: the file is empty")

    def _event(self, **picture: Any) -> ImageSubmitted:
        try:
            return ImageSubmitted(
                event_id=self.event_id, user_id=self.user_id, **self.fields, **picture
            )
        except ValidationError as error:
            raise StreamsError(f"{self.source}: {InvalidEvent(problems_of(error))}") from None


class _Answers:
    """Which events are answered. Of a face only its row is kept."""

    def __init__(self, submissions: Sequence[_Submission]) -> None:
        self.table = faces_table()
        self.simulated = 0
        self._faces: dict[UUID, set[int]] = {one.event_id: set() for one in submissions}
        self._open = dict.fromkeys(self._faces)

    @property
    def open(self) -> list[UUID]:
        """The events that are not answered, or not with all of their faces."""
        return list(self._open)

    @property
    def complete(self) -> int:
        """How many events are answered."""
        return len(self._faces) - len(self._open)

    def add(self, face: ScoredFace) -> bool:
        """Take a face in; False when it is of another event, or known."""
        faces = self._faces.get(face.event_id)
        if faces is None or face.face_index in faces:
            return False
        faces.add(face.face_index)
        self.table.add_row(*face_row(face))
        self.simulated += face.provenance == "simulated"
        if len(faces) >= face.face_count:
            self._open.pop(face.event_id, None)
        return True


def _submissions(
    picture: str, user_id: str | None, fields: dict[str, Any]
) -> Iterator[_Submission]:
    """What one argument stands for: a URI, a file, or the pictures of a folder.

    Raises ``StreamsError`` for what cannot be an event.
    """
    for source, name, file in _places(picture):
        submission = _Submission(source, user_id or name, fields, file)
        submission.check()
        yield submission


def _places(picture: str) -> Iterator[tuple[str, str, Path | None]]:
    """Where each picture is, its name without suffix, and its file where it is one."""
    if "://" in picture:
        name = picture.rstrip("/").rpartition("/")[2] or picture
        yield picture, Path(name).stem, None
        return
    path = Path(picture)
    if path.is_dir():
        files = sorted(one for one in path.rglob("*") if one.suffix.lower() in PICTURE_SUFFIXES)
        if not files:
            raise StreamsError(f"{picture}: no pictures in this folder")
    elif path.is_file():
        files = [path]
    else:
        raise StreamsError(f"{picture}: no such file")
    for file in files:
        yield str(file), file.stem, file

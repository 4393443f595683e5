"""``facestream submit``: publish pictures as image-submitted events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from uuid import UUID

from faust.cli.base import argument, option
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from schemas.codec import encode_scored_face
from schemas.scored_face import ScoredFace
from streams.commands.base import FacestreamCommand
from streams.commands.face_table import face_row, faces_table
from streams.commands.submissions import Submission, submissions
from streams.errors import StreamsError
from streams.kafka.submitter import Submitter
from streams.kafka.topic_reader import TopicReader
from streams.kafka.topics import topic_names


class Submit(FacestreamCommand):
    """Publish pictures (files, folders, or URIs as claim checks) as image-submitted events."""

    options = [
        argument("pictures", nargs=-1, required=True),
        option("--user-id", default=None, help="user_id of all events (default: the file's name)."),
        option("--binary", is_flag=True, help="Send the bytes of a picture, not JSON with base64."),
        option("--max-faces", type=int, default=1, help="Maximum number of faces per picture."),
        option("--min-confidence", type=float, default=None, help="Minimum detection confidence."),
        option("--wait", is_flag=True, help="Wait for the answers and print them."),
        option("--timeout", type=float, default=60.0, help="Seconds that --wait waits."),
        option("--json", "as_json", is_flag=True, help="Print one JSON answer per line."),
        option(
            "--require-real",
            is_flag=True,
            help="With --wait: exit with 1 when an answer is simulated. Without it, 0 means that "
            "every event was answered, real or simulated.",
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
        timeout: float,  # noqa: ASYNC109 - an option of the command
        as_json: bool,
        require_real: bool,
        **_: object,
    ) -> int:
        """Publish all events; with ``wait``, print their answers."""
        if require_real and not wait:
            raise StreamsError("--require-real checks the answers, so it needs --wait")
        fields: dict[str, object] = {"max_faces": max_faces}
        if min_confidence is not None:
            fields["min_confidence"] = min_confidence
        events = [one for picture in pictures for one in submissions(picture, user_id, fields)]
        if not wait:
            await self._publish(events, binary=binary, on_published=self._print_id)
            return 0
        simulated = await self._publish_and_wait(
            events, binary=binary, timeout_s=timeout, as_json=as_json
        )
        if require_real and simulated:
            raise StreamsError(f"{simulated} of {len(events)} answers are simulated")
        return 0

    async def _publish(
        self,
        events: Sequence[Submission],
        *,
        binary: bool,
        on_published: Callable[[Submission], None] = lambda _: None,
    ) -> None:
        """Publish one picture after the other: a folder may be larger than the memory."""
        async with Submitter(self.settings) as submitter:
            with self._progress() as progress:
                for one in progress.track(events, description="submitting"):
                    media_type = one.media_type if binary else None
                    await submitter.submit(one.event(), media_type=media_type)
                    on_published(one)

    def _print_id(self, submission: Submission) -> None:
        self.console.print(f"{submission.event_id} {submission.user_id}", markup=False)

    async def _publish_and_wait(
        self, events: Sequence[Submission], *, binary: bool, timeout_s: float, as_json: bool
    ) -> int:
        """Publish the events and print their answers. Returns the number of simulated answers."""
        answers = _Answers(events)
        topic = topic_names(self.settings).scored_face
        async with TopicReader(self.settings, topic, from_beginning=False) as reader:
            await self._publish(events, binary=binary)
            try:
                async with asyncio.timeout(timeout_s):
                    await self._collect(reader, answers, as_json=as_json)
            except TimeoutError:
                raise StreamsError(
                    f"no answer in {timeout_s:.0f} s for {len(answers.open)} of {len(events)} "
                    f"events (is a worker running?): {', '.join(map(str, answers.open[:5]))}"
                ) from None
            finally:
                if not as_json:
                    self.console.print(answers.table)
        return answers.simulated

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


class _Answers:
    """The answered and the open events; keeps a table row of each face, and not the face."""

    def __init__(self, events: Sequence[Submission]) -> None:
        self.table = faces_table()
        self.simulated = 0
        self._faces: dict[UUID, set[int]] = {one.event_id: set() for one in events}
        self._open = dict.fromkeys(self._faces)

    @property
    def open(self) -> list[UUID]:
        """The events of which a face is still missing."""
        return list(self._open)

    @property
    def complete(self) -> int:
        """The number of answered events."""
        return len(self._faces) - len(self._open)

    def add(self, face: ScoredFace) -> bool:
        """Add a face. Returns False for one of another event, or a known one."""
        faces = self._faces.get(face.event_id)
        if faces is None or face.face_index in faces:
            return False
        faces.add(face.face_index)
        self.table.add_row(*face_row(face))
        self.simulated += face.provenance == "simulated"
        if len(faces) >= face.face_count:
            self._open.pop(face.event_id, None)
        return True

"""The events that ``facestream submit`` publishes, one per picture of its arguments."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

from pydantic import ValidationError

from schemas.errors import InvalidEvent, problems_of
from schemas.image_submitted import ImageSubmitted
from streams.errors import StreamsError

PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}


@dataclass(frozen=True)
class Submission:
    """One picture to publish; a file is read when ``event`` is called."""

    source: str
    user_id: str
    fields: Mapping[str, object]
    file: Path | None
    event_id: UUID = field(default_factory=uuid4)

    @property
    def media_type(self) -> str | None:
        """The media type of the picture's bytes; None for a URI."""
        if self.file is None:
            return None
        return mimetypes.guess_type(self.file.name)[0] or "image/jpeg"

    def event(self) -> ImageSubmitted:
        """Build the event, with the picture's bytes. Raises ``StreamsError``."""
        if self.file is None:
            return self._event(image_uri=self.source)
        try:
            image = self.file.read_bytes()
        except OSError as error:
            raise StreamsError(f"{self.source}: {error.strerror}") from None
        return self._event(image=image)

    def check(self) -> None:
        """Raise ``StreamsError`` for every problem that shows without reading the picture."""
        self._event(image_uri=self.source)
        if self.file is not None and not self.file.stat().st_size:
            raise StreamsError(f"{self.source}: the file is empty")

    def _event(self, **picture: bytes | str) -> ImageSubmitted:
        values = {"event_id": self.event_id, "user_id": self.user_id, **self.fields, **picture}
        try:
            return ImageSubmitted.model_validate(values)
        except ValidationError as error:
            raise StreamsError(f"{self.source}: {InvalidEvent(problems_of(error))}") from None


def submissions(
    picture: str, user_id: str | None, fields: Mapping[str, object]
) -> Iterator[Submission]:
    """Yield the submissions for one argument: a URI, a file, or the pictures of a folder.

    ``fields`` are further fields of the events. Raises ``StreamsError`` when one would be invalid.
    """
    for source, name, file in _pictures(picture):
        submission = Submission(source, user_id or name, fields, file)
        submission.check()
        yield submission


def _pictures(picture: str) -> Iterator[tuple[str, str, Path | None]]:
    """Yield each picture's source, name without suffix, and file (None for a URI)."""
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

"""The results for the demo's pictures: checked, and drawn on them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from schemas.scored_face import ScoredFace
from streams.commands.demo_pictures import DemoPicture

BOX_COLOUR, POINT_COLOUR = (40, 220, 90), (255, 80, 60)


class NearestFace(TypedDict):
    """An indexed face near another one, as the worker's ``/index`` pages describe it."""

    face_id: str
    event_id: str
    user_id: str
    similarity: float


@dataclass
class DemoResult:
    """A picture, its scored faces and the nearest face of each, by face index."""

    picture: DemoPicture
    faces: dict[int, ScoredFace] = field(default_factory=dict)
    nearest: dict[int, NearestFace] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every face of the picture has come back."""
        return bool(self.faces) and len(self.faces) == next(iter(self.faces.values())).face_count

    @property
    def real_faces(self) -> list[ScoredFace]:
        """The faces that were scored by the models."""
        return [face for face in self.faces.values() if face.provenance == "real"]


def problems_of(results: Sequence[DemoResult]) -> list[str]:
    """Return the differences from what ``demo_pictures`` expects, one line each."""
    people = _people_by_face_id(results)
    return [problem for one in results for problem in _problems(one, people)]


def _people_by_face_id(results: Sequence[DemoResult]) -> dict[str, str]:
    people = {}
    for one in results:
        # In the picture of two people, the left face is the first person.
        left_to_right = sorted(
            one.faces.values(), key=lambda face: face.bounding_box.x if face.bounding_box else 0
        )
        for face, person in zip(left_to_right, one.picture.people, strict=False):
            people[str(face.face_id)] = person
    return people


def _problems(result: DemoResult, people: dict[str, str]) -> list[str]:
    name, expected = result.picture.name, len(result.picture.people)
    problems = []
    real = len(result.real_faces)
    if real != expected:
        problems.append(f"{name}: expected {expected} scored faces, found {real}")
    reasons = {str(face.fallback_reason) for face in result.faces.values() if not face.model}
    if result.picture.reason is not None and reasons != {result.picture.reason}:
        problems.append(f"{name}: expected {result.picture.reason}, found {reasons or 'a score'}")
    for number, face in result.faces.items():
        near = result.nearest.get(number)
        if face.provenance == "real" and (
            near is None or people.get(near["face_id"]) != people.get(str(face.face_id))
        ):
            problems.append(f"{name}: the nearest face is not of the same person")
    return problems


def draw_results(results: Sequence[DemoResult], folder: Path) -> None:
    """Write each picture with a real face into ``folder``, with boxes and landmarks."""
    folder.mkdir(parents=True, exist_ok=True)
    for one in results:
        if one.real_faces:
            _draw(one, folder / f"{one.picture.name}.jpg")


def _draw(result: DemoResult, file: Path) -> None:
    # Imported when used: a worker imports every command, and would keep 2 MB for this one.
    from PIL import Image, ImageDraw, ImageOps  # noqa: PLC0415

    picture = ImageOps.exif_transpose(Image.open(io.BytesIO(result.picture.image))).convert("RGB")
    draw = ImageDraw.Draw(picture)
    pen = max(2, picture.width // 200)
    for face in result.real_faces:
        box, points = face.bounding_box, face.landmarks
        assert box is not None
        assert points is not None
        corners = [box.x, box.y, box.x + box.width, box.y + box.height]
        draw.rectangle(corners, outline=BOX_COLOUR, width=pen)
        for x, y in (
            *(points.left_eye, points.right_eye, points.nose),
            *(points.mouth_left, points.mouth_right),
        ):
            draw.ellipse([x - pen, y - pen, x + pen, y + pen], fill=POINT_COLOUR)
    picture.save(file, quality=90)

"""The demo's pictures, made from two portraits in the public domain (see ATTRIBUTION.md)."""

from __future__ import annotations

import io
import random
from dataclasses import dataclass
from importlib import resources
from uuid import uuid4

from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from schemas.image_submitted import ImageSubmitted

EXIF_ORIENTATION = 0x0112
#: EXIF orientation: viewers rotate the picture by 90 degrees clockwise.
ROTATE_90_CW = 6

GRACE, EILEEN = "grace-hopper", "eileen-collins"


@dataclass(frozen=True)
class DemoPicture:
    """A picture, the people in it, and its expected result."""

    event: ImageSubmitted
    people: tuple[str, ...]
    reason: str | None = None
    """The expected ``fallback_reason`` of a picture that cannot be scored."""

    @property
    def name(self) -> str:
        """The name of the picture, which is also its ``user_id``."""
        return self.event.user_id

    @property
    def image(self) -> bytes:
        """The bytes of the picture's file."""
        return self.event.image or b""


def demo_pictures() -> list[DemoPicture]:
    """Return portraits, other pictures of the same people, and pictures that cannot be scored."""
    grace, eileen = _portrait(GRACE), _portrait(EILEEN)
    return [
        _picture("grace-hopper", (GRACE,), _file(GRACE)),
        _picture("eileen-collins", (EILEEN,), _file(EILEEN)),
        _picture("grace-mirrored", (GRACE,), _jpeg(_another_picture(grace, light=0.7))),
        _picture("eileen-mirrored", (EILEEN,), _jpeg(_another_picture(eileen, light=1.3))),
        _picture("both-people", (GRACE, EILEEN), _jpeg(_side_by_side(grace, eileen)), max_faces=2),
        _picture("eileen-sideways", (EILEEN,), _stored_sideways(eileen)),
        _picture("no-face", (), _jpeg(_landscape()), reason="no_face"),
        _picture("broken-file", (), _file(GRACE)[:6000], reason="unreadable_image"),
    ]


def _picture(
    name: str,
    people: tuple[str, ...],
    image: bytes,
    *,
    max_faces: int = 1,
    reason: str | None = None,
) -> DemoPicture:
    event = ImageSubmitted(event_id=uuid4(), user_id=name, image=image, max_faces=max_faces)
    return DemoPicture(event, people, reason)


def _file(name: str) -> bytes:
    return resources.files("streams.commands").joinpath("portraits", f"{name}.jpg").read_bytes()


def _portrait(name: str) -> Image.Image:
    return Image.open(io.BytesIO(_file(name))).convert("RGB")


def _jpeg(picture: Image.Image, exif: Image.Exif | None = None) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90, exif=exif or Image.Exif())
    return buffer.getvalue()


def _another_picture(portrait: Image.Image, *, light: float) -> Image.Image:
    """Return a second picture of a person: cropped, mirrored, with another light and size."""
    width, height = portrait.size
    cropped = portrait.crop((width // 12, height // 20, width - width // 10, height * 4 // 5))
    mirrored = ImageOps.mirror(cropped)
    lit = ImageEnhance.Color(ImageEnhance.Brightness(mirrored).enhance(light)).enhance(0.8)
    return lit.resize((round(lit.width * 0.8), round(lit.height * 0.8)))


def _side_by_side(left: Image.Image, right: Image.Image) -> Image.Image:
    height = 480
    scaled = [ImageOps.contain(one, (640, height)) for one in (left, right)]
    both = Image.new("RGB", (sum(one.width for one in scaled), height))
    both.paste(scaled[0], (0, 0))
    both.paste(scaled[1], (scaled[0].width, 0))
    return both


def _stored_sideways(portrait: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = ROTATE_90_CW
    return _jpeg(portrait.rotate(90, expand=True), exif)


def _landscape() -> Image.Image:
    """Draw a picture without a face, the same in every run."""
    dice = random.Random(7)  # noqa: S311 - scenery
    picture = Image.new("RGB", (640, 480), (150, 190, 230))
    draw = ImageDraw.Draw(picture)
    for layer, colour in enumerate([(110, 150, 120), (80, 120, 80), (50, 90, 50)]):
        base = 240 + 70 * layer
        ridge = [(x, base + dice.randint(-40, 40)) for x in range(0, 700, 60)]
        draw.polygon([(0, 480), *ridge, (640, 480)], fill=colour)
    return picture

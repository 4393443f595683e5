"""The pictures of the benchmark: the demo's two portraits in generated scenes.

They are the same in every run. ``from_folder`` uses real pictures instead.
"""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from benchmarks.bare import MIN_CONFIDENCE
from models.errors import ModelsError
from models.loading import load_pipeline
from models.pictures.decoding import DecodeLimits
from streams.config.settings import pinned_settings

PORTRAITS = ("grace-hopper", "eileen-collins")
OWN = "folder"

Rng = np.random.Generator


@dataclass(frozen=True)
class PictureSet:
    """JPEG files, and the ``max_faces`` of their events."""

    name: str
    what: str
    pictures: tuple[bytes, ...]
    max_faces: int

    @property
    def mean_kb(self) -> float:
        return sum(map(len, self.pictures)) / len(self.pictures) / 1000


def vga(count: int = 64) -> PictureSet:
    """Generate 640 x 480 pictures with one face, 60 to 240 pixels wide."""
    return _made("vga", "640×480, one face", (640, 480), count, lambda _: 1, scales=(0.7, 1.3))  # noqa: RUF001


def full_hd(count: int = 24) -> PictureSet:
    """Generate 1920 x 1080 pictures with three to five faces, 45 to 160 pixels wide."""
    return _made(
        "1080p",
        "1920×1080, three to five faces",  # noqa: RUF001
        (1920, 1080),
        count,
        lambda rng: int(rng.integers(3, 6)),
        scales=(0.5, 0.9),
    )


def phone(count: int = 10) -> PictureSet:
    """Generate 4032 x 3024 pictures, a phone's size, with one face 280 to 750 pixels wide."""
    return _made("12mp", "4032×3024, one face", (4032, 3024), count, lambda _: 1, scales=(3.0, 4.5))  # noqa: RUF001


SETS: dict[str, Callable[[], PictureSet]] = {"vga": vga, "1080p": full_hd, "12mp": phone}


def from_folder(folder: Path) -> PictureSet:
    """Read the JPEGs of a folder in which facestream finds a face, one face each.

    Names the others on stderr: another contender might find a face in them. Raises ``SystemExit``
    when none is left.
    """
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg"))
    pipeline = load_pipeline(
        model_path=None, cache_dir=pinned_settings().model_cache, limits=DecodeLimits()
    )
    pictures = []
    for path in paths:
        picture = path.read_bytes()
        try:
            pipeline.score(picture, min_confidence=MIN_CONFIDENCE, max_faces=1)
        except ModelsError as reason:
            print(f"left out: {path.name}: {reason}", file=sys.stderr)
        else:
            pictures.append(picture)
    if not pictures:
        raise SystemExit(f"{folder}: no .jpg or .jpeg in which a face is found")
    return PictureSet(
        OWN,
        f"{len(pictures)} of {len(paths)} JPEGs of a folder, those with a face",
        tuple(pictures),
        1,
    )


def _made(
    name: str,
    what: str,
    size: tuple[int, int],
    count: int,
    faces: Callable[[Rng], int],
    *,
    scales: tuple[float, float],
) -> PictureSet:
    """Generate a set; ``scales`` resize the portraits, whose faces are 85 and 180 pixels wide."""
    numbers = [faces(np.random.default_rng((7, index))) for index in range(count)]
    pictures = tuple(_scene(index, size, number, scales) for index, number in enumerate(numbers))
    return PictureSet(name, what, pictures, max(numbers))


def _scene(index: int, size: tuple[int, int], faces: int, scales: tuple[float, float]) -> bytes:
    rng = np.random.default_rng((7, index, faces))
    picture = Image.fromarray(_background(rng, size))
    width = size[0] // faces
    for place, name in zip(range(faces), _alternating(index), strict=False):
        person, outline = _person(rng, name, float(rng.uniform(*scales)))
        spare = max(0, width - person.width), max(0, size[1] - person.height)
        left = place * width + int(rng.integers(0, spare[0] + 1))
        picture.paste(person, (left, spare[1] - int(rng.integers(0, spare[1] // 3 + 1))), outline)
    noisy = np.asarray(picture, np.int16) + _grain(rng, size)
    buffer = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(
        buffer, "JPEG", quality=int(rng.integers(86, 93))
    )
    return buffer.getvalue()


def _alternating(index: int) -> Iterator[str]:
    while True:
        yield PORTRAITS[index % 2]
        index += 1


def _person(rng: Rng, name: str, scale: float) -> tuple[Image.Image, Image.Image]:
    """Vary a portrait's light, size and orientation, and return it with a soft outline."""
    file = resources.files("streams.commands").joinpath("portraits", f"{name}.jpg").read_bytes()
    person = Image.open(io.BytesIO(file)).convert("RGB")
    if rng.random() < 0.5:
        person = ImageOps.mirror(person)
    person = ImageEnhance.Brightness(person).enhance(float(rng.uniform(0.8, 1.2)))
    person = ImageEnhance.Color(person).enhance(float(rng.uniform(0.7, 1.2)))
    person = person.resize((round(person.width * scale), round(person.height * scale)))
    outline = Image.new("L", person.size, 0)
    ImageDraw.Draw(outline).ellipse((0, 0, person.width, math.ceil(person.height * 1.2)), fill=255)
    return person, outline.filter(ImageFilter.GaussianBlur(6 * scale))


def _background(rng: Rng, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Draw soft patches of colour with texture: 100 kB at 640 x 480, like photographs."""
    width, height = size
    soft = rng.integers(60, 200, (5, 6, 3)).astype(np.float32)
    texture = rng.normal(0, 14, (height // 8, width // 8, 3)).astype(np.float32)
    layers = [cv2.resize(one, size, interpolation=cv2.INTER_CUBIC) for one in (soft, texture)]
    summed = layers[0] + layers[1]
    return np.asarray(summed.clip(0, 255), np.uint8)


def _grain(rng: Rng, size: tuple[int, int]) -> NDArray[np.int16]:
    """Make sensor noise from a repeated tile: 12 million random numbers would be slow."""
    width, height = size
    side = 512
    tile = rng.normal(0, 3, (side, side, 3)).round().astype(np.int16)
    repeated = np.tile(tile, (math.ceil(height / side), math.ceil(width / side), 1))
    return np.asarray(repeated[:height, :width])

"""Test pictures: the two portraits of the demo, and unusual variants of them."""

from __future__ import annotations

import io
import struct
import zlib
from importlib import resources

import numpy as np
from numpy.typing import NDArray
from PIL import Image

EXIF_ORIENTATION = 0x0112

#: How to transpose an upright picture so that the EXIF orientation restores it.
_STORE_AS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def portrait_bytes(name: str = "grace-hopper") -> bytes:
    """Return the JPEG file of a portrait."""
    return resources.files("streams.commands").joinpath("portraits", f"{name}.jpg").read_bytes()


def portrait(name: str = "grace-hopper") -> Image.Image:
    """Return a portrait as RGB."""
    return Image.open(io.BytesIO(portrait_bytes(name))).convert("RGB")


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    """Return the picture as a file of a format."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def oriented(picture: Image.Image, orientation: int) -> bytes:
    """Return a rotated or mirrored JPEG with the EXIF orientation that restores it."""
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    stored = picture if orientation == 1 else picture.transpose(_STORE_AS[orientation])
    return encoded(stored, "JPEG", quality=92, exif=exif)


def odd_pictures() -> dict[str, bytes]:
    """Return unusual but valid files of one portrait, by their peculiarity."""
    small = portrait()
    small.thumbnail((320, 320))
    grey = small.convert("L")
    alpha = small.convert("RGBA")
    alpha.putalpha(Image.new("L", small.size, 255))
    animated = [small, Image.new("RGB", small.size)]
    return {
        "cmyk": encoded(small.convert("CMYK"), "JPEG"),
        "grey": encoded(grey, "JPEG"),
        "16-bit": encoded(Image.fromarray(_sixteen_bit(grey)), "PNG"),
        "alpha": encoded(alpha, "PNG"),
        "palette": encoded(small.convert("P", palette=Image.Palette.ADAPTIVE), "PNG"),
        "webp": encoded(small, "WEBP", quality=90),
        "gif": encoded(animated[0], "GIF", save_all=True, append_images=animated[1:]),
        **{f"exif-{n}": oriented(small, n) for n in range(1, 9)},
    }


def _sixteen_bit(grey: Image.Image) -> NDArray[np.uint16]:
    return np.asarray(grey, dtype=np.uint16) * np.uint16(257)


def png_declaring(width: int, height: int) -> bytes:
    """Return a small PNG that declares any size, without the pixels for it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    body = chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


def crowd_bytes(side: int = 8) -> bytes:
    """Return a picture of ``side`` x ``side`` faces; 64 take about a second to score."""
    face = portrait()
    face.thumbnail((200, 200))
    picture = Image.new("RGB", (side * face.width, side * face.height))
    for place in range(side * side):
        picture.paste(face, (place % side * face.width, place // side * face.height))
    return encoded(picture, "JPEG")
